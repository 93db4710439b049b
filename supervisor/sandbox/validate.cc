// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/validate.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/images/reference.h"
#include "supervisor/sandbox/mounts.h"
#include "supervisor/sandbox/network.h"
#include "supervisor/sandbox/secrets.h"

namespace msb {
namespace {

constexpr size_t kMaxNameBytes = 128;
constexpr size_t kMaxLabels = 64;
constexpr size_t kMaxLabelKeyBytes = 128;
constexpr size_t kMaxLabelValueBytes = 1024;
constexpr size_t kMaxEnvVariables = 1024;
constexpr size_t kMaxEnvBytes = 128 * 1024;  // together: what Linux takes for one argument block
constexpr size_t kMaxPathBytes = 4095;
constexpr size_t kMaxUserBytes = 128;
// Below this the kernel and the agent do not come up.
constexpr uint32_t kMinMemoryMib = 64;
constexpr uint32_t kMinDiskMib = 16;
constexpr uint32_t kMinCpuMilli = 10;  // the kernel's smallest quota for a period of 100 ms
constexpr int64_t kMaxSeconds =
    315'576'000'000;  // 10,000 years, the range of Duration's definition

bool IsNameCharacter(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
}

// What is wrong with it; empty when nothing is.
std::string WhatIsWrongWithName(absl::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > kMaxNameBytes) {
    return absl::StrCat("has ", name.size(), " bytes; at most ", kMaxNameBytes, " are allowed");
  }
  if (!std::all_of(name.begin(), name.end(), IsNameCharacter)) {
    return "may have only lower-case letters, digits, '_', '.' and '-'";
  }
  if (!absl::ascii_isalnum(static_cast<unsigned char>(name[0]))) {
    return "must begin with a letter or a digit";
  }
  return "";
}

bool HasNul(absl::string_view text) { return text.find('\0') != absl::string_view::npos; }

absl::Status CheckRange(absl::string_view what, uint32_t value, uint32_t min, uint32_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return MakeError(Reason::kInvalidResources,
                   absl::StrCat(what, " is ", value, "; allowed are ", min, " to ", max));
}

absl::Status CheckEnv(const google::protobuf::Map<std::string, std::string>& env) {
  size_t bytes = 0;
  for (const auto& [name, value] : env) {
    MSB_RETURN_IF_ERROR(ValidateEnvVariable(name, value));
    bytes += name.size() + value.size();
  }
  if (env.size() <= kMaxEnvVariables && bytes <= kMaxEnvBytes) return absl::OkStatus();
  return MakeError(
      Reason::kInvalidArgument,
      absl::StrCat("env has ", env.size(), " variables and ", bytes, " bytes; at most ",
                   kMaxEnvVariables, " and ", kMaxEnvBytes, " are allowed"));
}

void FillResources(const Config& config, msb::v1::Resources& resources) {
  if (resources.vcpus() == 0) resources.set_vcpus(config.sandbox.vcpus);
  if (resources.memory_mib() == 0) resources.set_memory_mib(config.sandbox.memory_mib);
  if (resources.disk_mib() == 0) resources.set_disk_mib(config.sandbox.disk_mib);
  if (resources.cpu_milli() == 0) resources.set_cpu_milli(config.sandbox.cpu_milli);
  if (resources.cpu_milli() == 0) resources.set_cpu_milli(resources.vcpus() * 1000);
}

msb::v1::Limits DefaultLimits(const Config& config) {
  msb::v1::Limits limits;
  DurationToProto(config.sandbox.idle_timeout, *limits.mutable_idle_timeout());
  DurationToProto(config.sandbox.lifetime, *limits.mutable_lifetime());
  DurationToProto(config.sandbox.exec_timeout, *limits.mutable_exec_timeout());
  return limits;
}

msb::v1::Engine DefaultEngine(const Config& config) {
  if (config.sandbox.engine == "kvm") return msb::v1::ENGINE_KVM;
  if (config.sandbox.engine == "qemu") return msb::v1::ENGINE_QEMU;
  return msb::v1::ENGINE_AUTO;
}

}  // namespace

absl::Status ValidateSandboxName(absl::string_view name) {
  const std::string wrong = WhatIsWrongWithName(name);
  if (wrong.empty()) return absl::OkStatus();
  return MakeError(Reason::kInvalidName,
                   absl::StrCat("the name '", EscapeForLog(name), "' ", wrong));
}

absl::Status ValidateImageName(absl::string_view name) {
  const std::string wrong = WhatIsWrongWithName(name);
  if (wrong.empty()) return absl::OkStatus();
  return MakeError(Reason::kInvalidArgument,
                   absl::StrCat("the image name '", EscapeForLog(name), "' ", wrong));
}

absl::Status ValidateImage(absl::string_view image) {
  if (IsPlainWord(image) || IsDigestPrefix(image)) return absl::OkStatus();
  return ParseReference(image).status();
}

absl::Status ValidateEnvVariable(absl::string_view name, absl::string_view value) {
  if (!name.empty() && name.find('=') == absl::string_view::npos && !HasNul(name) &&
      !HasNul(value)) {
    return absl::OkStatus();
  }
  return MakeError(Reason::kInvalidArgument,
                   absl::StrCat("the variable '", EscapeForLog(name),
                                "': a name is not empty and has no '=', neither part has a NUL"));
}

absl::Status ValidateLabel(absl::string_view key, absl::string_view value) {
  const auto printable = [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '=';
  };
  if (key.empty() || key.size() > kMaxLabelKeyBytes ||
      !std::all_of(key.begin(), key.end(), printable)) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("the label '", EscapeForLog(key), "' must have 1 to ",
                                  kMaxLabelKeyBytes, " printable characters and no '='"));
  }
  if (value.size() <= kMaxLabelValueBytes) return absl::OkStatus();
  return MakeError(Reason::kInvalidArgument,
                   absl::StrCat("the label ", key, " has a value of ", value.size(),
                                " bytes; at most ", kMaxLabelValueBytes, " are allowed"));
}

absl::Status ValidateLabels(const msb::v1::SandboxSpec& spec) {
  if (spec.labels().size() > kMaxLabels) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat("more than ", kMaxLabels, " labels"));
  }
  for (const auto& [key, value] : spec.labels()) MSB_RETURN_IF_ERROR(ValidateLabel(key, value));
  return absl::OkStatus();
}

absl::Status ValidateGuestPath(absl::string_view path) {
  if (!path.empty() && path[0] == '/' && path.size() <= kMaxPathBytes && !HasNul(path)) {
    return absl::OkStatus();
  }
  return MakeError(Reason::kPathInvalid,
                   absl::StrCat("'", EscapeForLog(path.substr(0, 64)),
                                "' is no absolute path of at most ", kMaxPathBytes, " bytes"));
}

absl::Status ValidateUser(absl::string_view user) {
  if (user.size() <= kMaxUserBytes && !HasNul(user) && user.find('\n') == absl::string_view::npos) {
    return absl::OkStatus();
  }
  return MakeError(Reason::kInvalidArgument,
                   absl::StrCat("the user '", EscapeForLog(user.substr(0, 64)),
                                "' is none of name, uid, name:group, uid:gid"));
}

absl::Status ValidateResources(const msb::v1::Resources& resources, const LimitsConfig& limits) {
  MSB_RETURN_IF_ERROR(CheckRange("resources.vcpus", resources.vcpus(), 1, limits.max_vcpus));
  MSB_RETURN_IF_ERROR(CheckRange("resources.memory_mib", resources.memory_mib(), kMinMemoryMib,
                                 limits.max_memory_mib));
  MSB_RETURN_IF_ERROR(
      CheckRange("resources.disk_mib", resources.disk_mib(), kMinDiskMib, limits.max_disk_mib));
  return CheckRange("resources.cpu_milli", resources.cpu_milli(), kMinCpuMilli,
                    resources.vcpus() * 1000);
}

absl::Status ValidateVolume(const msb::v1::CreateVolumeRequest& request, uint32_t size_mib,
                            const LimitsConfig& limits) {
  const std::string wrong = WhatIsWrongWithName(request.name());
  if (!wrong.empty()) {
    return MakeError(Reason::kInvalidName,
                     absl::StrCat("the volume name '", EscapeForLog(request.name()), "' ", wrong));
  }
  if (request.kind() == msb::v1::VOLUME_KIND_DIRECTORY) {
    if (size_mib == 0) return absl::OkStatus();
    return MakeError(Reason::kInvalidArgument,
                     "a directory has no size: what limits it is the host's file system");
  }
  if (request.kind() != msb::v1::VOLUME_KIND_UNSPECIFIED &&
      request.kind() != msb::v1::VOLUME_KIND_DISK) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("there is no kind of volume ", int{request.kind()}));
  }
  return CheckRange("size_mib", size_mib, kMinDiskMib, limits.max_disk_mib);
}

absl::Status ResizeDisk(uint32_t disk_mib, const LimitsConfig& limits,
                        msb::v1::Resources& resources) {
  if (resources.disk_in_memory()) {
    return MakeError(Reason::kInvalidResources, "disk_mib: the sandbox has its disk in memory");
  }
  if (disk_mib < resources.disk_mib()) {
    return MakeError(Reason::kInvalidResources,
                     absl::StrCat("disk_mib is ", disk_mib, "; the disk has ", resources.disk_mib(),
                                  " and cannot be made smaller"));
  }
  MSB_RETURN_IF_ERROR(CheckRange("disk_mib", disk_mib, kMinDiskMib, limits.max_disk_mib));
  resources.set_disk_mib(disk_mib);
  return absl::OkStatus();
}

absl::StatusOr<absl::Duration> DurationFromProto(const google::protobuf::Duration& duration,
                                                 absl::string_view what) {
  if (duration.seconds() < 0 || duration.seconds() > kMaxSeconds || duration.nanos() < 0 ||
      duration.nanos() > 999'999'999) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat(what, " is no duration from 0 to 10,000 years"));
  }
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

void DurationToProto(absl::Duration duration, google::protobuf::Duration& out) {
  absl::Duration rest;
  out.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

absl::Status MergeLimits(const msb::v1::Limits& changes, msb::v1::Limits& limits) {
  if (changes.has_idle_timeout()) {
    MSB_RETURN_IF_ERROR(DurationFromProto(changes.idle_timeout(), "limits.idle_timeout"));
    *limits.mutable_idle_timeout() = changes.idle_timeout();
  }
  if (changes.has_lifetime()) {
    MSB_RETURN_IF_ERROR(DurationFromProto(changes.lifetime(), "limits.lifetime"));
    *limits.mutable_lifetime() = changes.lifetime();
  }
  if (changes.has_exec_timeout()) {
    MSB_RETURN_IF_ERROR(DurationFromProto(changes.exec_timeout(), "limits.exec_timeout"));
    *limits.mutable_exec_timeout() = changes.exec_timeout();
  }
  return absl::OkStatus();
}

absl::StatusOr<msb::v1::SandboxSpec> CompleteSpec(msb::v1::SandboxSpec spec, const Config& config) {
  if (!spec.name().empty()) MSB_RETURN_IF_ERROR(ValidateSandboxName(spec.name()));
  if (spec.image().empty()) spec.set_image(config.sandbox.image);
  MSB_RETURN_IF_ERROR(ValidateImage(spec.image()));
  FillResources(config, *spec.mutable_resources());
  MSB_RETURN_IF_ERROR(ValidateResources(spec.resources(), config.limits));
  if (spec.engine() == msb::v1::ENGINE_UNSPECIFIED) spec.set_engine(DefaultEngine(config));
  if (spec.engine() != msb::v1::ENGINE_AUTO && spec.engine() != msb::v1::ENGINE_KVM &&
      spec.engine() != msb::v1::ENGINE_QEMU) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("there is no engine ", static_cast<int>(spec.engine())));
  }
  MSB_RETURN_IF_ERROR(CheckEnv(spec.env()));
  if (!spec.workdir().empty()) MSB_RETURN_IF_ERROR(ValidateGuestPath(spec.workdir()));
  MSB_RETURN_IF_ERROR(ValidateUser(spec.user()));
  MSB_RETURN_IF_ERROR(ValidateLabels(spec));
  MSB_RETURN_IF_ERROR(ValidateMounts(spec));
  MSB_RETURN_IF_ERROR(CompleteNetwork(config.network, *spec.mutable_network()));
  MSB_RETURN_IF_ERROR(CompleteSecrets(spec));
  msb::v1::Limits limits = DefaultLimits(config);
  MSB_RETURN_IF_ERROR(MergeLimits(spec.limits(), limits));
  *spec.mutable_limits() = std::move(limits);
  return spec;
}

}  // namespace msb
