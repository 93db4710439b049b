// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/sandbox_options.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/mount_argument.h"
#include "sdks/msbctl/output.h"
#include "sdks/msbctl/port_argument.h"
#include "sdks/msbctl/secret_argument.h"

namespace msb {

void SandboxOptions::Declare(CLI::App& command) {
  const char* group = "Sandbox";
  command.add_option("--name", name, "its name (default: one is made up)")
      ->type_name("NAME")
      ->group(group);
  command.add_option("--image", image, "its image (default: the daemon's)")
      ->type_name("IMAGE")
      ->group(group);
  command
      .add_option("--pull", pull,
                  "fetch its image: missing, always or never (default: the daemon's)")
      ->type_name("WHEN")
      ->check(OneOf({"missing", "always", "never"}))
      ->group(group);
  command.add_option("-c,--vcpus", vcpus, "virtual CPUs, 1 to 32 (default: the daemon's)")
      ->type_name("N")
      ->group(group);
  command.add_option("-m,--memory", memory, "memory: 512, 512M, 2G (default: the daemon's)")
      ->type_name("SIZE")
      ->group(group);
  command.add_option("--cpus", cpus, "CPU time per second, e.g. 0.5 (default: one per vCPU)")
      ->type_name("N")
      ->check(MoreThanZero())
      ->group(group);
  command.add_option("--disk", disk, "size of the writable layer: 4G, or: memory")
      ->type_name("SIZE")
      ->group(group);
  command.add_option("--engine", engine, "auto, kvm or qemu (default: the daemon's)")
      ->type_name("ENGINE")
      ->check(OneOf({"auto", "kvm", "qemu"}))
      ->group(group);
  command.add_option("-l,--label", labels, "a label to find it by (msbctl ls -l); repeatable")
      ->type_name("KEY[=VALUE]")
      ->allow_extra_args(false)
      ->group(group);
  command
      .add_option("-v,--volume", volumes,
                  "mounts a volume (msbctl volume), or, with a '/' or '.', as --mount; repeatable")
      ->type_name("SOURCE:PATH[:OPTIONS]")
      ->allow_extra_args(false)
      ->group(group);
  command
      .add_option("--mount", mounts,
                  "mounts a directory or file of this host; options: ro, quota=SIZE (what may be "
                  "added), uid=N, gid=N; repeatable")
      ->type_name("SOURCE:PATH[:OPTIONS]")
      ->allow_extra_args(false)
      ->group(group);
  command.add_option("--tmpfs", tmpfs, "mounts memory of the guest; repeatable")
      ->type_name("PATH[:SIZE]")
      ->allow_extra_args(false)
      ->group(group);
  command.add_option("--idle-timeout", idle_timeout, "stop it when unused for this long: 10m")
      ->type_name("TIME")
      ->group(group);
  command.add_option("--lifetime", lifetime, "stop it this long after its start: 2h")
      ->type_name("TIME")
      ->group(group);
  command.add_option("--network", network, "none, public (the Internet alone) or all")
      ->type_name("NETWORK")
      ->check(OneOf({"none", "public", "all"}))
      ->group(group);
  command
      .add_option("--allow", allow, "network rule: example.com:443, '@private', 'tcp 10.0.0.0/8'")
      ->type_name("RULE")
      ->allow_extra_args(false)
      ->group(group);
  command.add_option("--deny", deny, "network rule; deny rules stand before allow rules")
      ->type_name("RULE")
      ->allow_extra_args(false)
      ->group(group);
  command
      .add_option("-p,--publish", ports, "a port of the guest on the host; HOST 0: any free one")
      ->type_name("[ADDRESS:]HOST:GUEST[/udp]")
      ->allow_extra_args(false)
      ->group(group);
  command
      .add_option("--join", joined,
                  "a private network (msbctl network) whose members reach each other; repeatable")
      ->type_name("NETWORK")
      ->allow_extra_args(false)
      ->group(group);
  command
      .add_option(
          "--secret", secrets,
          "a value that goes to these hosts and is not in the guest; SOURCE is env:VARIABLE "
          "(default: env:NAME), file:PATH or - for standard input; repeatable")
      ->type_name("NAME[=SOURCE]@HOST[,HOST...]")
      ->allow_extra_args(false)
      ->group(group);
}

absl::StatusOr<msb::v1::SandboxSpec> SandboxOptions::ToSpec() const {
  msb::v1::SandboxSpec spec;
  spec.set_name(name);
  spec.set_image(image);
  if (vcpus != 0) spec.mutable_resources()->set_vcpus(vcpus);
  if (cpus != 0) spec.mutable_resources()->set_cpu_milli(static_cast<uint32_t>(cpus * 1000));
  if (!memory.empty()) {
    MSB_ASSIGN_OR_RETURN(const uint32_t mib, ParseMebibytes(memory));
    if (mib == 0) return MakeError(Reason::kInvalidResources, "--memory must be more than 0");
    spec.mutable_resources()->set_memory_mib(mib);
  }
  if (disk == "memory") {
    spec.mutable_resources()->set_disk_in_memory(true);
  } else if (!disk.empty()) {
    MSB_ASSIGN_OR_RETURN(const uint32_t mib, ParseMebibytes(disk));
    if (mib == 0) return MakeError(Reason::kInvalidResources, "--disk must be more than 0");
    spec.mutable_resources()->set_disk_mib(mib);
  }
  if (engine == "auto") spec.set_engine(msb::v1::ENGINE_AUTO);
  if (engine == "kvm") spec.set_engine(msb::v1::ENGINE_KVM);
  if (engine == "qemu") spec.set_engine(msb::v1::ENGINE_QEMU);
  MSB_RETURN_IF_ERROR(ParseAssignments(labels, BareName::kIsEmpty, *spec.mutable_labels()));
  MSB_RETURN_IF_ERROR(AddMounts(spec));
  if (!idle_timeout.empty()) {
    MSB_ASSIGN_OR_RETURN(*spec.mutable_limits()->mutable_idle_timeout(),
                         ParseDuration(idle_timeout));
  }
  spec.mutable_network()->set_preset(network);
  AddRules(deny, allow, *spec.mutable_network()->mutable_rules());
  for (const std::string& port : ports) {
    MSB_ASSIGN_OR_RETURN(*spec.mutable_network()->add_ports(), ParsePort(port));
  }
  for (const std::string& each : joined) spec.mutable_network()->add_private_networks(each);
  for (const std::string& secret : secrets) {
    MSB_ASSIGN_OR_RETURN(*spec.add_secrets(), ParseSecret(secret));
  }
  if (!lifetime.empty()) {
    MSB_ASSIGN_OR_RETURN(*spec.mutable_limits()->mutable_lifetime(), ParseDuration(lifetime));
  }
  return spec;
}

absl::Status SandboxOptions::AddMounts(msb::v1::SandboxSpec& spec) const {
  for (const std::string& word : volumes) {
    MSB_ASSIGN_OR_RETURN(*spec.add_mounts(), ParseMount(word, MountSource::kPathOrVolume));
  }
  for (const std::string& word : mounts) {
    MSB_ASSIGN_OR_RETURN(*spec.add_mounts(), ParseMount(word, MountSource::kHostPath));
  }
  for (const std::string& word : tmpfs) {
    MSB_ASSIGN_OR_RETURN(*spec.add_mounts(), ParseTmpfs(word));
  }
  SortMounts(*spec.mutable_mounts());
  return absl::OkStatus();
}

absl::Status ParseAssignments(const std::vector<std::string>& words, BareName bare,
                              google::protobuf::Map<std::string, std::string>& map) {
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (name.empty()) {
      return MakeError(Reason::kInvalidArgument, absl::StrCat("'", word, "' is no NAME=VALUE"));
    }
    if (equals != std::string::npos) {
      map[name] = word.substr(equals + 1);
    } else if (bare == BareName::kIsEmpty) {
      map[name] = "";
    } else if (const char* value = std::getenv(name.c_str())) {
      map[name] = value;
    }
  }
  return absl::OkStatus();
}

}  // namespace msb
