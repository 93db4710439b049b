// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl cp: files and trees between this machine and a sandbox.

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/local_tree.h"
#include "sdks/msbctl/progress.h"
#include "sdks/msbctl/transfer.h"

namespace msb {
namespace {

constexpr absl::string_view kStreamAdvice =
    "for a stream write msbctl exec SANDBOX -- cat FILE, or msbctl exec -i SANDBOX -- sh -c 'cat > "
    "FILE'";

struct Place {
  std::string sandbox;  // empty: this machine
  std::string path;
};

struct CopyOptions {
  std::string from;
  std::string to;
  std::string user;
  bool keep_owner = false;
};

// As scp: a colon before any slash ends a sandbox's name.
Place ParsePlace(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || text.find('/') < colon) return {"", text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

std::string BaseName(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

std::string Join(const std::string& directory, const std::string& name) {
  return directory.empty() || directory.back() == '/' ? directory + name
                                                      : absl::StrCat(directory, "/", name);
}

bool IsLocalDirectory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

absl::StatusOr<bool> IsDirectory(Client& client, const Place& place, const std::string& user) {
  msb::v1::StatRequest request;
  request.set_sandbox(place.sandbox);
  request.set_path(place.path);
  request.set_user(user);
  request.set_follow_symlinks(true);
  const auto info = client.Call(client.files(), &msb::v1::FileService::Stub::Stat, request);
  if (info.ok()) return info->type() == msb::v1::FILE_TYPE_DIRECTORY;
  if (ReasonOf(info.status()) == Reason::kFileNotFound) return false;
  return info.status();
}

// Content for an upload, counted and shown.
DataSink Sending(Upload& upload, Progress& progress, uint64_t total) {
  return [&upload, &progress, total, sent = uint64_t{0}](std::string& data) mutable {
    sent += data.size();
    progress.SetBytes(sent, total);
    return upload.Data(data);
  };
}

absl::Status SendFile(Client& client, const CopyOptions& options, const Place& to,
                      Progress& progress) {
  MSB_ASSIGN_OR_RETURN(const int raw, Syscall(absl::StrCat("open ", options.from), [&] {
                         return ::open(options.from.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
                       }));
  const UniqueFd file(raw);
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("stat", [&] { return ::fstat(raw, &info); }).status());
  if (!S_ISREG(info.st_mode)) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat(options.from, " is no file and no directory; ", kStreamAdvice));
  }
  msb::v1::WriteFileOpen open;
  open.set_sandbox(to.sandbox);
  open.set_path(to.path);
  open.set_user(options.user);
  open.set_mode(info.st_mode & 07777);
  open.mutable_modified_at()->set_seconds(info.st_mtim.tv_sec);
  open.mutable_modified_at()->set_nanos(static_cast<int32_t>(info.st_mtim.tv_nsec));
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<Upload> upload, Upload::File(client, open));
  return upload->Finish(ReadLocalFile(
      file.get(), options.from, Sending(*upload, progress, static_cast<uint64_t>(info.st_size))));
}

absl::Status SendTree(Client& client, const CopyOptions& options, const Place& to,
                      Progress& progress) {
  msb::v1::WriteTreeOpen open;
  open.set_sandbox(to.sandbox);
  open.set_path(to.path);
  open.set_user(options.user);
  open.set_keep_owner(options.keep_owner);
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<Upload> upload, Upload::Tree(client, open));
  const uint64_t total = LocalTreeBytes(options.from);
  return upload->Finish(ReadLocalTree(
      options.from, [&](const msb::v1::TreeEntry& entry) { return upload->Entry(entry); },
      Sending(*upload, progress, total)));
}

absl::Status Receive(Client& client, const CopyOptions& options, const Place& from,
                     const std::string& to, Progress& progress) {
  msb::v1::ReadTreeRequest request;
  request.set_sandbox(from.sandbox);
  request.set_path(from.path);
  request.set_user(options.user);
  request.set_follow_top_symlink(true);
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<Download> download, Download::Tree(client, request));
  LocalTreeWriter writer(to);
  uint64_t received = 0;
  uint64_t total = 0;
  while (true) {
    MSB_ASSIGN_OR_RETURN(const Download::Chunk chunk, download->Next());
    if (chunk.is_end()) return writer.Finish();
    if (chunk.entry != nullptr) {
      // That of one file is known from the beginning; of a tree, at its end.
      if (chunk.entry->path().empty()) total = chunk.entry->size();
      MSB_RETURN_IF_ERROR(writer.Entry(*chunk.entry));
    } else {
      MSB_RETURN_IF_ERROR(writer.Data(chunk.data));
      received += chunk.data.size();
      progress.SetBytes(received, total);
    }
  }
}

absl::Status Copy(Session& session, const CopyOptions& options) {
  const Place from = ParsePlace(options.from);
  Place to = ParsePlace(options.to);
  if (from.sandbox.empty() == to.sandbox.empty()) {
    return MakeError(Reason::kInvalidArgument,
                     "one side is a path of this machine, the other SANDBOX:/PATH");
  }
  if (from.path == "-" || to.path == "-") {
    return MakeError(Reason::kInvalidArgument, absl::StrCat("cp takes no stream; ", kStreamAdvice));
  }
  if (BaseName(from.path) == "..") {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat(from.path, " has no name of its own; write it without .."));
  }
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  Progress progress("copying " + options.from);
  if (from.sandbox.empty()) {
    MSB_ASSIGN_OR_RETURN(const bool into, IsDirectory(*client, to, options.user));
    if (into) to.path = Join(to.path, BaseName(from.path));
    return IsLocalDirectory(from.path) ? SendTree(*client, options, to, progress)
                                       : SendFile(*client, options, to, progress);
  }
  const std::string target =
      IsLocalDirectory(to.path) ? Join(to.path, BaseName(from.path)) : to.path;
  return Receive(*client, options, from, target, progress);
}

}  // namespace

void AddCopyCommand(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("cp", "copy files and trees to and from a sandbox");
  command->group(kExecGroup);
  auto options = std::make_shared<CopyOptions>();
  command->add_option("from", options->from, "PATH or SANDBOX:PATH")->required();
  command->add_option("to", options->to, "PATH or SANDBOX:PATH")->required();
  command->add_option("-u,--user", options->user, "whose rights to have in the sandbox")
      ->type_name("USER");
  command->add_flag("--keep-owner", options->keep_owner,
                    "give files in the sandbox the numeric owners that they have here");
  command->footer(
      "Into a directory that exists, under its own name; otherwise to the name given.\n"
      "Paths in a sandbox are absolute. Modes, times and symbolic links are kept.\n\n"
      "Examples:\n"
      "  msbctl cp data.csv box:/tmp/\n"
      "  msbctl cp box:/root/out ./out\n"
      "  msbctl exec box -- cat /etc/hostname > hostname    # a stream, not a file");
  command->callback([&session, options] { session.End(Copy(session, *options)); });
}

}  // namespace msb
