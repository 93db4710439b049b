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

// How a stream into a sandbox has ended, when `read` is how reading this machine's side did.
template <typename Writer>
absl::Status EndOfStream(Writer& writer, grpc::ClientContext& context, const absl::Status& read) {
  const bool failed_here = !read.ok() && !absl::IsCancelled(read);
  if (failed_here) context.TryCancel();
  writer.WritesDone();
  const grpc::Status status = writer.Finish();
  return failed_here ? read : Client::Outcome(status, context);
}

// Content as `request`s, counted and shown. The string goes into the message and comes back, so
// that no byte is copied.
template <typename Writer, typename Request>
DataSink Sending(Writer& writer, Request& request, Progress& progress, uint64_t total) {
  return [&writer, &request, &progress, total, sent = uint64_t{0}](std::string& data) mutable {
    sent += data.size();
    progress.SetBytes(sent, total);
    request.mutable_data()->swap(data);
    const bool goes_on = writer.Write(request);
    request.mutable_data()->swap(data);
    return goes_on;
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
  const auto context = client.NewContext();
  msb::v1::WriteFileResponse response;
  const auto writer = client.files().WriteFile(context.get(), &response);
  msb::v1::WriteFileRequest request;
  msb::v1::WriteFileOpen& open = *request.mutable_open();
  open.set_sandbox(to.sandbox);
  open.set_path(to.path);
  open.set_user(options.user);
  open.set_mode(info.st_mode & 07777);
  open.mutable_modified_at()->set_seconds(info.st_mtim.tv_sec);
  open.mutable_modified_at()->set_nanos(static_cast<int32_t>(info.st_mtim.tv_nsec));
  writer->Write(request);
  msb::v1::WriteFileRequest content;
  const absl::Status read =
      ReadLocalFile(file.get(), options.from,
                    Sending(*writer, content, progress, static_cast<uint64_t>(info.st_size)));
  return EndOfStream(*writer, *context, read);
}

absl::Status SendTree(Client& client, const CopyOptions& options, const Place& to,
                      Progress& progress) {
  const auto context = client.NewContext();
  msb::v1::WriteTreeResponse response;
  const auto writer = client.files().WriteTree(context.get(), &response);
  msb::v1::WriteTreeRequest request;
  request.mutable_open()->set_sandbox(to.sandbox);
  request.mutable_open()->set_path(to.path);
  request.mutable_open()->set_user(options.user);
  request.mutable_open()->set_keep_owner(options.keep_owner);
  writer->Write(request);
  const uint64_t total = LocalTreeBytes(options.from);
  msb::v1::WriteTreeRequest content;
  const absl::Status read = ReadLocalTree(
      options.from,
      [&](const msb::v1::TreeEntry& entry) {
        *request.mutable_entry() = entry;
        return writer->Write(request);
      },
      Sending(*writer, content, progress, total));
  return EndOfStream(*writer, *context, read);
}

absl::Status Receive(Client& client, const CopyOptions& options, const Place& from,
                     const std::string& to, Progress& progress) {
  const auto context = client.NewContext();
  msb::v1::ReadTreeRequest request;
  request.set_sandbox(from.sandbox);
  request.set_path(from.path);
  request.set_user(options.user);
  request.set_follow_top_symlink(true);
  const auto reader = client.files().ReadTree(context.get(), request);
  LocalTreeWriter writer(to);
  msb::v1::TreeChunk chunk;
  absl::Status written;
  uint64_t received = 0;
  uint64_t total = 0;
  while (written.ok() && reader->Read(&chunk)) {
    if (chunk.has_entry()) {
      // That of one file is known from the beginning; of a tree, at its end.
      if (chunk.entry().path().empty()) total = chunk.entry().size();
      written = writer.Entry(chunk.entry());
    } else {
      written = writer.Data(chunk.data());
      received += chunk.data().size();
      progress.SetBytes(received, total);
    }
  }
  if (!written.ok()) context->TryCancel();
  const grpc::Status status = reader->Finish();
  MSB_RETURN_IF_ERROR(written);
  MSB_RETURN_IF_ERROR(Client::Outcome(status, *context));
  return writer.Finish();
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
