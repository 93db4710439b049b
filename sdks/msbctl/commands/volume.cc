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

absl::StatusOr<int> Create(Session& session, const std::string& name, const std::string& size) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::CreateVolumeRequest request;
  request.set_name(name);
  if (!size.empty()) {
    MSB_ASSIGN_OR_RETURN(const uint32_t mib, ParseMebibytes(size));
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
  Table table({"VOLUME", "SIZE", "ON DISK", "CREATED", "USED BY"});
  for (const auto& volume : response.volumes()) {
    table.Add({volume.name(), Bytes(uint64_t{volume.size_mib()} << 20),
               Bytes(volume.allocated_bytes()), Ago(volume.created_at()),
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
      "A volume is a disk of its own: one sandbox writes to it, or many read it.\n\n"
      "Examples:\n"
      "  msbctl volume create data --size 10G\n"
      "  msbctl run -v data:/data -- sh -c 'date >> /data/log'\n"
      "  msbctl volume ls");
  volume->require_subcommand(1);
  auto name = std::make_shared<std::string>();
  auto size = std::make_shared<std::string>();
  auto* create = volume->add_subcommand("create", "make a volume");
  create->add_option("name", *name, "its name")->required();
  create->add_option("--size", *size, "its size: 10G (default: a sandbox's disk)")
      ->type_name("SIZE");
  create->callback([&session, name, size] { session.End(Create(session, *name, *size)); });

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
