// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl volume create, ls, inspect, rm.

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"

namespace msb {
namespace {

using Stub = msb::v1::VolumeService::Stub;

struct CreateOptions {
  std::string name;
  std::string kind;
  std::string size;
};

absl::StatusOr<int> Create(Session& session, const CreateOptions& options) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::CreateVolumeRequest request;
  request.set_name(options.name);
  request.set_kind(options.kind == "directory" ? msb::v1::VOLUME_KIND_DIRECTORY
                                               : msb::v1::VOLUME_KIND_DISK);
  if (!options.size.empty()) {
    MSB_ASSIGN_OR_RETURN(const uint32_t mib, ParseMebibytes(options.size));
    if (mib == 0) return MakeError(Reason::kInvalidResources, "--size must be more than 0");
    request.set_size_mib(mib);
  }
  MSB_ASSIGN_OR_RETURN(const msb::v1::Volume volume,
                       client->Call(client->volumes(), &Stub::Create, request));
  if (session.format() == Format::kJson) {
    std::fputs(ToJson(volume).c_str(), stdout);
  } else {
    std::printf("%s\n", volume.name().c_str());
  }
  return kExitOk;
}

absl::StatusOr<int> List(Session& session) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  MSB_ASSIGN_OR_RETURN(const msb::v1::ListVolumesResponse response,
                       client->Call(client->volumes(), &Stub::List, msb::v1::ListVolumesRequest()));
  if (session.format() == Format::kJson) {
    std::fputs(ToJson(response).c_str(), stdout);
    return kExitOk;
  }
  Table table({"VOLUME", "KIND", "SIZE", "ON DISK", "CREATED", "USED BY"});
  for (const auto& volume : response.volumes()) {
    const bool disk = volume.kind() != msb::v1::VOLUME_KIND_DIRECTORY;
    table.Add({volume.name(), disk ? "disk" : "directory",
               disk ? Bytes(uint64_t{volume.size_mib()} << 20) : "-",
               disk ? Bytes(volume.allocated_bytes()) : "-", Ago(volume.created_at()),
               absl::StrJoin(volume.used_by(), ", ")});
  }
  std::fputs(table.ToString().c_str(), stdout);
  return kExitOk;
}

absl::StatusOr<int> Inspect(Session& session, const std::vector<std::string>& names) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  for (const std::string& name : names) {
    msb::v1::GetVolumeRequest request;
    request.set_name(name);
    MSB_ASSIGN_OR_RETURN(const msb::v1::Volume volume,
                         client->Call(client->volumes(), &Stub::Get, request));
    std::fputs(ToJson(volume).c_str(), stdout);
  }
  return kExitOk;
}

absl::StatusOr<int> Remove(Session& session, const std::vector<std::string>& names) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  for (const std::string& name : names) {
    msb::v1::RemoveVolumeRequest request;
    request.set_name(name);
    MSB_RETURN_IF_ERROR(client->Call(client->volumes(), &Stub::Remove, request).status());
    std::printf("%s\n", name.c_str());
  }
  return kExitOk;
}

}  // namespace

void AddVolumeCommands(CLI::App& app, Session& session) {
  auto* volume = app.add_subcommand("volume", "storage that outlives sandboxes");
  volume->group(kSandboxGroup);
  volume->footer(
      "A volume is a disk of its own, which one sandbox writes to or many read, or a\n"
      "directory of this host's file system, which any number of sandboxes share.\n\n"
      "Examples:\n"
      "  msbctl volume create data --size 10G\n"
      "  msbctl run -v data:/data -- sh -c 'date >> /data/log'\n"
      "  msbctl volume create shared --kind directory\n"
      "  msbctl volume ls");
  volume->require_subcommand(1);
  auto options = std::make_shared<CreateOptions>();
  auto* create = volume->add_subcommand("create", "make a volume");
  create->add_option("name", options->name, "its name")->required();
  create->add_option("--kind", options->kind, "disk (the default) or directory")
      ->type_name("KIND")
      ->check(OneOf({"disk", "directory"}));
  create->add_option("--size", options->size, "of a disk: 10G (default: a sandbox's disk)")
      ->type_name("SIZE");
  create->callback([&session, options] { session.End(Create(session, *options)); });

  volume->add_subcommand("ls", "list volumes")->callback([&session] {
    session.End(List(session));
  });

  auto names = std::make_shared<std::vector<std::string>>();
  auto* inspect = volume->add_subcommand("inspect", "everything about volumes, as JSON");
  inspect->add_option("name", *names, "their names")->required();
  inspect->callback([&session, names] { session.End(Inspect(session, *names)); });

  auto removed = std::make_shared<std::vector<std::string>>();
  auto* remove = volume->add_subcommand("rm", "remove volumes with all that is in them");
  remove->add_option("name", *removed, "their names")->required();
  remove->callback([&session, removed] { session.End(Remove(session, *removed)); });
}

}  // namespace msb
