// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl image pull, load, save, ls, inspect, rm, prune, tag.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "sdks/msbctl/archive_output.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/image_pull.h"
#include "sdks/msbctl/progress.h"
#include "sdks/msbctl/registry_login.h"

namespace msb {
namespace {

using Stub = msb::v1::ImageService::Stub;

constexpr size_t kPieceBytes = 256u << 10;
constexpr size_t kShortDigest = 12;

std::string ShortDigest(const std::string& digest) {
  const size_t colon = digest.find(':');
  return digest.substr(colon == std::string::npos ? 0 : colon + 1, kShortDigest);
}

// As short as it can be written.
std::string ShortName(std::string name) {
  for (const char* prefix : {"docker.io/library/", "docker.io/"}) {
    if (name.rfind(prefix, 0) == 0) return name.substr(std::strlen(prefix));
  }
  return name;
}

struct PullOptions {
  std::string image;
  std::string username;
  bool password_stdin = false;
  bool anonymous = false;
  bool plain_http = false;
  bool skip_tls_verification = false;
  bool quiet = false;
};

absl::StatusOr<msb::v1::RegistryCredentials> CredentialsOf(const PullOptions& options) {
  if (options.anonymous) return msb::v1::RegistryCredentials();
  if (options.username.empty()) return LoginOf(RegistryOf(options.image));
  msb::v1::RegistryCredentials login;
  login.set_username(options.username);
  std::string password;
  if (!options.password_stdin || !std::getline(std::cin, password)) {
    return MakeError(Reason::kInvalidArgument,
                     "--username takes the password from standard input: --password-stdin");
  }
  login.set_password(password);
  return login;
}

absl::StatusOr<int> Pull(Session& session, const PullOptions& options) {
  msb::v1::PullImageRequest request;
  request.set_image(options.image);
  request.set_plain_http(options.plain_http);
  request.set_skip_tls_verification(options.skip_tls_verification);
  MSB_ASSIGN_OR_RETURN(*request.mutable_credentials(), CredentialsOf(options));
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  const bool json = session.format() == Format::kJson;
  const ShowPull show = json            ? ShowPull::kJson
                        : options.quiet ? ShowPull::kNothing
                                        : ShowPull::kProgress;
  MSB_ASSIGN_OR_RETURN(const msb::v1::Image image, PullImage(*client, request, show));
  if (!json) std::printf("%s\n", ShortName(image.name()).c_str());
  return kExitOk;
}

// Standard input for "-" and "".
absl::StatusOr<UniqueFd> OpenArchive(const std::string& path) {
  if (path.empty() || path == "-") {
    MSB_ASSIGN_OR_RETURN(const int fd, Syscall("dup", [] { return ::dup(STDIN_FILENO); }));
    return UniqueFd(fd);
  }
  const auto fd = Syscall(path, [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); });
  if (!fd.ok()) return WithReason(Reason::kInvalidArgument, "the archive", fd.status());
  return UniqueFd(*fd);
}

absl::StatusOr<int> Load(Session& session, const std::string& path, const std::string& name) {
  MSB_ASSIGN_OR_RETURN(const UniqueFd archive, OpenArchive(path));
  if (::isatty(archive.get()) != 0) {
    return MakeError(Reason::kInvalidArgument, "no archive: give a file, or pipe one in");
  }
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  const std::unique_ptr<grpc::ClientContext> context = client->NewContext();
  msb::v1::LoadImageResponse response;
  const auto writer = client->images().Load(context.get(), &response);
  {
    Progress progress("loading");
    msb::v1::LoadImageRequest request;
    request.set_name(name);
    uint64_t sent = 0;
    while (true) {
      std::string& data = *request.mutable_data();
      data.resize(kPieceBytes);
      MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("read the archive", [&] {
                             return ::read(archive.get(), data.data(), data.size());
                           }));
      data.resize(static_cast<size_t>(got));
      if (got == 0 || !writer->Write(request)) break;
      request.clear_name();
      sent += static_cast<uint64_t>(got);
      progress.SetBytes(sent, 0);
    }
    writer->WritesDone();
  }
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return Client::Outcome(status, *context);
  if (session.format() == Format::kJson) {
    std::fputs(ToJson(response).c_str(), stdout);
    return kExitOk;
  }
  for (const msb::v1::Image& image : response.images()) {
    std::printf("%s\n", ShortName(image.name()).c_str());
  }
  return kExitOk;
}

absl::StatusOr<int> Save(Session& session, const std::vector<std::string>& images,
                         const std::string& path) {
  if ((path.empty() || path == "-") && ::isatty(STDOUT_FILENO) != 0) {
    return MakeError(Reason::kInvalidArgument,
                     "an archive is nothing for a terminal: give -o FILE, or a pipe");
  }
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  MSB_ASSIGN_OR_RETURN(ArchiveOutput archive, ArchiveOutput::Open(path));
  msb::v1::SaveImageRequest request;
  request.mutable_images()->Assign(images.begin(), images.end());
  const std::unique_ptr<grpc::ClientContext> context = client->NewContext();
  const auto reader = client->images().Save(context.get(), request);
  absl::Status written;
  {
    Progress progress("saving");
    msb::v1::SaveImageResponse response;
    uint64_t received = 0;
    while (written.ok() && reader->Read(&response)) {
      received += response.data().size();
      progress.SetBytes(received, 0);
      written = archive.Write(response.data());
    }
  }
  if (!written.ok()) context->TryCancel();
  const grpc::Status status = reader->Finish();
  MSB_RETURN_IF_ERROR(written);
  MSB_RETURN_IF_ERROR(Client::Outcome(status, *context));
  MSB_RETURN_IF_ERROR(archive.Finish());
  return kExitOk;
}

absl::StatusOr<int> List(Session& session, bool quiet) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  MSB_ASSIGN_OR_RETURN(const msb::v1::ListImagesResponse response,
                       client->Call(client->images(), &Stub::List, msb::v1::ListImagesRequest()));
  if (session.format() == Format::kJson) {
    std::fputs(ToJson(response).c_str(), stdout);
    return kExitOk;
  }
  Table table({"IMAGE", "DIGEST", "SIZE", "STORED", "FOR", "SANDBOXES"});
  for (const msb::v1::Image& image : response.images()) {
    const std::string name = ShortName(image.name());
    if (quiet) {
      std::printf("%s\n", name.empty() ? image.digest().c_str() : name.c_str());
      continue;
    }
    table.Add({name.empty() ? "-" : Printable(name), ShortDigest(image.digest()),
               Bytes(image.size_bytes()), image.built_in() ? "built in" : Ago(image.stored_at()),
               image.shared()         ? "everybody"
               : image.name().empty() ? "-"
                                      : absl::StrCat("uid ", image.owner_uid()),
               image.built_in() ? "-" : absl::StrCat(image.users())});
  }
  if (!quiet) table.Print();
  return kExitOk;
}

absl::StatusOr<int> Inspect(Session& session, const std::vector<std::string>& names) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  for (const std::string& name : names) {
    msb::v1::GetImageRequest request;
    request.set_image(name);
    MSB_ASSIGN_OR_RETURN(const msb::v1::Image image,
                         client->Call(client->images(), &Stub::Get, request));
    std::fputs(ToJson(image).c_str(), stdout);
  }
  return kExitOk;
}

absl::StatusOr<int> Remove(Session& session, const std::vector<std::string>& names) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  absl::Status first;
  for (const std::string& name : names) {
    msb::v1::RemoveImageRequest request;
    request.set_image(name);
    const auto removed = client->Call(client->images(), &Stub::Remove, request);
    if (removed.ok()) {
      std::printf("%s\n", name.c_str());
      continue;
    }
    if (!first.ok()) PrintError(first);
    first = removed.status();
  }
  if (!first.ok()) return first;
  return kExitOk;
}

absl::StatusOr<int> Prune(Session& session, bool all) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::PruneImagesRequest request;
  request.set_all(all);
  MSB_ASSIGN_OR_RETURN(const msb::v1::PruneImagesResponse response,
                       client->Call(client->images(), &Stub::Prune, request));
  if (session.format() == Format::kJson) {
    std::fputs(ToJson(response).c_str(), stdout);
    return kExitOk;
  }
  for (const std::string& removed : response.removed()) {
    std::printf("%s\n", ShortName(removed).c_str());
  }
  std::fprintf(stderr, "freed %s\n", Bytes(response.freed_bytes()).c_str());
  return kExitOk;
}

absl::StatusOr<int> Tag(Session& session, const std::string& image, const std::string& name) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::TagImageRequest request;
  request.set_image(image);
  request.set_name(name);
  MSB_ASSIGN_OR_RETURN(const msb::v1::Image tagged,
                       client->Call(client->images(), &Stub::Tag, request));
  if (session.format() == Format::kJson) std::fputs(ToJson(tagged).c_str(), stdout);
  return kExitOk;
}

void AddPull(CLI::App& image, Session& session) {
  auto options = std::make_shared<PullOptions>();
  auto* pull = image.add_subcommand("pull", "fetch an image from its registry");
  pull->add_option("image", options->image, "its name: debian:12, ghcr.io/a/b:1@sha256:...")
      ->required();
  pull->add_option("-u,--username", options->username, "log in by this name")->type_name("NAME");
  pull->add_flag("--password-stdin", options->password_stdin, "with the first line of stdin");
  pull->add_flag("--anonymous", options->anonymous, "without docker's config.json");
  pull->add_flag("--plain-http", options->plain_http, "without TLS");
  pull->add_flag("--skip-tls-verification", options->skip_tls_verification,
                 "trust any certificate");
  pull->add_flag("-q,--quiet", options->quiet, "no progress");
  pull->footer(
      "What is pulled without credentials is there for everybody who may use the daemon, the rest\n"
      "for you alone (docs/images.md).");
  pull->callback([&session, options] { session.End(Pull(session, *options)); });
}

void AddArchives(CLI::App& image, Session& session) {
  auto input = std::make_shared<std::string>();
  auto name = std::make_shared<std::string>();
  auto* load = image.add_subcommand("load", "take images in from an archive");
  load->add_option("-i,--input", *input, "the archive; default: standard input")->type_name("FILE");
  load->add_option("--name", *name, "what to call the one image of the archive")
      ->type_name("IMAGE");
  load->callback([&session, input, name] { session.End(Load(session, *input, *name)); });

  auto output = std::make_shared<std::string>();
  auto images = std::make_shared<std::vector<std::string>>();
  auto* save =
      image.add_subcommand("save", "write images into an archive, for docker and OCI tools");
  save->add_option("image", *images, "their names")->required();
  save->add_option("-o,--output", *output, "the archive; default: standard output")
      ->type_name("FILE");
  save->callback([&session, images, output] { session.End(Save(session, *images, *output)); });
}

}  // namespace

void AddImageCommands(CLI::App& app, Session& session) {
  auto* image = app.add_subcommand("image", "what sandboxes are made of");
  image->group(kSandboxGroup);
  image->footer(
      "Examples:\n"
      "  msbctl image pull debian:12\n"
      "  msbctl run --image debian:12 -- cat /etc/os-release\n"
      "  msbctl image save debian:12 | ssh other msbctl image load\n"
      "  msbctl image prune --all");
  image->require_subcommand(1);
  AddPull(*image, session);
  AddArchives(*image, session);

  auto quiet = std::make_shared<bool>(false);
  auto* ls = image->add_subcommand("ls", "list images");
  ls->add_flag("-q,--quiet", *quiet, "names only");
  ls->callback([&session, quiet] { session.End(List(session, *quiet)); });

  auto names = std::make_shared<std::vector<std::string>>();
  auto* inspect = image->add_subcommand("inspect", "everything about images, as JSON");
  inspect->add_option("image", *names, "names or digests")->required();
  inspect->callback([&session, names] { session.End(Inspect(session, *names)); });

  auto removed = std::make_shared<std::vector<std::string>>();
  auto* remove = image->add_subcommand("rm", "remove images that no sandbox needs");
  remove->add_option("image", *removed, "names or digests")->required();
  remove->callback([&session, removed] { session.End(Remove(session, *removed)); });

  auto all = std::make_shared<bool>(false);
  auto* prune = image->add_subcommand("prune", "delete what no name and no sandbox needs");
  prune->add_flag("-a,--all", *all, "your images without a sandbox too");
  prune->callback([&session, all] { session.End(Prune(session, *all)); });

  auto source = std::make_shared<std::string>();
  auto target = std::make_shared<std::string>();
  auto* tag = image->add_subcommand("tag", "give an image one more name");
  tag->add_option("image", *source, "name or digest")->required();
  tag->add_option("name", *target, "its new name")->required();
  tag->callback([&session, source, target] { session.End(Tag(session, *source, *target)); });
}

}  // namespace msb
