// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "jailer/plan.h"

#include <linux/capability.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {
namespace {

constexpr size_t kMaxNameBytes = 64;
constexpr uint64_t kMaxId = 0x7fffffff;
constexpr uint64_t kMaxFd = 1 << 20;
constexpr uint64_t kMaxNumber = uint64_t{1} << 62;  // fits every signed file of the kernel's
constexpr size_t kMaxGroups = 4096;
constexpr absl::string_view kKindNames[] = {"dir-ro",  "dir-rw", "file-ro",
                                            "file-rw", "any-ro", "any-rw"};

struct CapabilityName {
  absl::string_view name;
  int number;
};
constexpr CapabilityName kCapabilities[] = {
    {"chown", CAP_CHOWN},     {"dac_override", CAP_DAC_OVERRIDE},
    {"fowner", CAP_FOWNER},   {"dac_read_search", CAP_DAC_READ_SEARCH},
    {"fsetid", CAP_FSETID},   {"net_bind_service", CAP_NET_BIND_SERVICE},
    {"setgid", CAP_SETGID},   {"setuid", CAP_SETUID},
    {"net_raw", CAP_NET_RAW},
};
constexpr absl::string_view kDevices[] = {"null", "zero", "full", "random", "urandom"};

absl::Status Wrong(absl::string_view what) { return MakeError(Reason::kInvalidArgument, what); }

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' ||
                  c == '-';
         });
}

// The parts of a path between its slashes are names that lead downwards.
absl::Status CheckParts(absl::string_view path) {
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return Wrong(absl::StrCat("\"", path, "\" has an empty, \".\" or \"..\" part"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ParsePath(absl::string_view text) {
  if (text.size() < 2 || text[0] != '/') {
    return Wrong(absl::StrCat("\"", text, "\" is no absolute path below /"));
  }
  MSB_RETURN_IF_ERROR(CheckParts(text.substr(1)));
  return std::string(text);
}

struct Range {
  uint64_t min;
  uint64_t max;
};

absl::StatusOr<uint64_t> ParseNumber(absl::string_view text, Range range) {
  uint64_t number = 0;
  const bool digits = std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  if (!digits || !absl::SimpleAtoi(text, &number) || number < range.min || number > range.max) {
    return Wrong(absl::StrCat("\"", text, "\" is no number from ", range.min, " to ", range.max));
  }
  return number;
}

absl::StatusOr<int> ParseFd(absl::string_view text) {
  MSB_ASSIGN_OR_RETURN(const uint64_t fd, ParseNumber(text, {3, kMaxFd}));
  return static_cast<int>(fd);
}

using Halves = std::pair<absl::string_view, absl::string_view>;

absl::StatusOr<Halves> SplitAtColon(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return Wrong(absl::StrCat("\"", text, "\" has no colon"));
  return Halves(text.substr(0, colon), text.substr(colon + 1));
}

absl::StatusOr<std::vector<std::string>> ParseNames(absl::string_view text) {
  std::vector<std::string> names;
  if (text.empty()) return names;
  for (absl::string_view name : absl::StrSplit(text, ',')) {
    if (!IsName(name)) return Wrong(absl::StrCat("\"", name, "\" is no name"));
    names.emplace_back(name);
  }
  return names;
}

absl::Status ParseHierarchy(absl::string_view text, CgroupVersion version, Plan& plan) {
  MSB_ASSIGN_OR_RETURN(const Halves halves, SplitAtColon(text));
  CgroupHierarchy hierarchy{.version = version};
  MSB_ASSIGN_OR_RETURN(hierarchy.controllers, ParseNames(halves.first));
  MSB_ASSIGN_OR_RETURN(hierarchy.mount, ParsePath(halves.second));
  if (version == CgroupVersion::kV1 && hierarchy.controllers.empty()) {
    return Wrong("a v1 hierarchy has a controller");
  }
  plan.hierarchies.push_back(std::move(hierarchy));
  return absl::OkStatus();
}

absl::Status ParseCgroup(absl::string_view text, Plan& plan) {
  MSB_RETURN_IF_ERROR(CheckParts(text));
  plan.cgroup = std::string(text);
  return absl::OkStatus();
}

absl::Status ParseBind(absl::string_view text, Plan& plan) {
  MSB_ASSIGN_OR_RETURN(const Halves halves, SplitAtColon(text));
  BindMount bind;
  MSB_ASSIGN_OR_RETURN(bind.source, ParsePath(halves.first));
  MSB_ASSIGN_OR_RETURN(bind.target, ParsePath(halves.second));
  plan.binds.push_back(std::move(bind));
  return absl::OkStatus();
}

absl::Status ParseTmpfs(absl::string_view text, Plan& plan) {
  MSB_ASSIGN_OR_RETURN(const Halves halves, SplitAtColon(text));
  TmpfsMount mount;
  MSB_ASSIGN_OR_RETURN(mount.target, ParsePath(halves.first));
  MSB_ASSIGN_OR_RETURN(mount.bytes, ParseNumber(halves.second, {4096, kMaxNumber}));
  plan.tmpfs.push_back(std::move(mount));
  return absl::OkStatus();
}

absl::Status ParseDevices(absl::string_view text, Plan& plan) {
  MSB_ASSIGN_OR_RETURN(plan.devices, ParseNames(text));
  for (const std::string& device : plan.devices) {
    if (std::find(std::begin(kDevices), std::end(kDevices), device) == std::end(kDevices)) {
      return Wrong(absl::StrCat("\"", device, "\" is no device that a jail may have"));
    }
  }
  return absl::OkStatus();
}

absl::Status ParseGroups(absl::string_view text, Plan& plan) {
  for (absl::string_view word : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    MSB_ASSIGN_OR_RETURN(const uint64_t group, ParseNumber(word, {0, kMaxId}));
    plan.groups.push_back(static_cast<gid_t>(group));
  }
  if (plan.groups.size() <= kMaxGroups) return absl::OkStatus();
  return Wrong(absl::StrCat("more than ", kMaxGroups, " groups"));
}

absl::Status ParseCapabilities(absl::string_view text, Plan& plan) {
  for (absl::string_view name : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const auto known =
        std::find_if(std::begin(kCapabilities), std::end(kCapabilities),
                     [&](const CapabilityName& capability) { return capability.name == name; });
    if (known == std::end(kCapabilities)) {
      return Wrong(absl::StrCat("\"", name, "\" is no capability that a jail may keep"));
    }
    plan.keep_capabilities.push_back(known->number);
  }
  return absl::OkStatus();
}

absl::Status ParseNetwork(absl::string_view text, Plan& plan) {
  if (text != "own" && text != "host") return Wrong("a network is own or host");
  plan.network = text == "host" ? Network::kHost : Network::kOwn;
  return absl::OkStatus();
}

// The path is a user's, for whom the kernel looks it up: it may have any form.
absl::Status ParseOpen(absl::string_view text, OpenRights rights, Plan& plan) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 2));
  if (parts.size() != 3) return Wrong("not of the form N:KIND:PATH");
  OpenRequest open{.rights = rights};
  MSB_ASSIGN_OR_RETURN(open.fd, ParseFd(parts[0]));
  const auto kind = std::find(std::begin(kKindNames), std::end(kKindNames), parts[1]);
  if (kind == std::end(kKindNames)) return Wrong(absl::StrCat("\"", parts[1], "\" is no kind"));
  open.kind = static_cast<OpenKind>(kind - std::begin(kKindNames));
  if (!absl::StartsWith(parts[2], "/")) return Wrong("the path is not absolute");
  open.path = std::string(parts[2]);
  plan.opens.push_back(std::move(open));
  return absl::OkStatus();
}

absl::Status ParseId(absl::string_view text, Plan& plan) {
  if (!IsName(text)) return Wrong(absl::StrCat("\"", text, "\" is no id"));
  plan.id = std::string(text);
  return absl::OkStatus();
}

// Parses a number into a field of the plan.
template <auto Field, uint64_t kMin, uint64_t kMax>
absl::Status Number(absl::string_view text, Plan& plan) {
  MSB_ASSIGN_OR_RETURN(const uint64_t number, ParseNumber(text, {kMin, kMax}));
  plan.*Field = static_cast<std::remove_reference_t<decltype(plan.*Field)>>(number);
  return absl::OkStatus();
}

enum class Times { kOnce, kExactlyOnce, kMany };

struct Flag {
  absl::string_view name;
  Times times;
  absl::Status (*parse)(absl::string_view value, Plan& plan);
};

constexpr Flag kFlags[] = {
    {"id", Times::kExactlyOnce, ParseId},
    {"status-fd", Times::kExactlyOnce, Number<&Plan::status_fd, 3, kMaxFd>},
    {"exec-fd", Times::kExactlyOnce, Number<&Plan::exec_fd, 3, kMaxFd>},
    {"keep-fd", Times::kMany,
     [](absl::string_view value, Plan& plan) -> absl::Status {
       MSB_ASSIGN_OR_RETURN(const int fd, ParseFd(value));
       plan.keep_fds.push_back(fd);
       return absl::OkStatus();
     }},
    {"cgroup", Times::kOnce, ParseCgroup},
    {"cgroup-v1", Times::kMany,
     [](absl::string_view value, Plan& plan) {
       return ParseHierarchy(value, CgroupVersion::kV1, plan);
     }},
    {"cgroup-v2", Times::kOnce,
     [](absl::string_view value, Plan& plan) {
       return ParseHierarchy(value, CgroupVersion::kV2, plan);
     }},
    {"memory-max", Times::kOnce, Number<&Plan::memory_max, 1, kMaxNumber>},
    {"cpu-milli", Times::kOnce, Number<&Plan::cpu_milli, 10, 1'000'000>},
    {"pids-max", Times::kOnce, Number<&Plan::pids_max, 1, 1 << 22>},
    {"root", Times::kExactlyOnce,
     [](absl::string_view value, Plan& plan) -> absl::Status {
       MSB_ASSIGN_OR_RETURN(plan.root, ParsePath(value));
       return absl::OkStatus();
     }},
    {"bind-ro", Times::kMany, ParseBind},
    {"tmpfs", Times::kMany, ParseTmpfs},
    {"dev", Times::kOnce, ParseDevices},
    {"uid", Times::kExactlyOnce, Number<&Plan::uid, 0, kMaxId>},
    {"gid", Times::kExactlyOnce, Number<&Plan::gid, 0, kMaxId>},
    {"groups", Times::kOnce, ParseGroups},
    {"keep-caps", Times::kOnce, ParseCapabilities},
    {"net", Times::kOnce, ParseNetwork},
    {"open", Times::kMany,
     [](absl::string_view value, Plan& plan) { return ParseOpen(value, OpenRights::kUser, plan); }},
    {"open-own", Times::kMany,
     [](absl::string_view value, Plan& plan) {
       return ParseOpen(value, OpenRights::kJailer, plan);
     }},
    {"nofile", Times::kOnce, Number<&Plan::nofile, 16, kMaxFd>},
    {"fsize", Times::kOnce, Number<&Plan::fsize, 1, kMaxNumber>},
};

absl::Status ParseFlag(absl::string_view argument, std::set<absl::string_view>& seen, Plan& plan) {
  if (argument == "--proc") {
    plan.proc = true;
    return absl::OkStatus();
  }
  if (argument == "--as-root") {
    plan.as_root = true;
    return absl::OkStatus();
  }
  if (argument == "--open-only") {
    plan.open_only = true;
    return absl::OkStatus();
  }
  for (const Flag& flag : kFlags) {
    const std::string prefix = absl::StrCat("--", flag.name, "=");
    if (argument.substr(0, prefix.size()) != prefix) continue;
    if (!seen.insert(flag.name).second && flag.times != Times::kMany) {
      return Wrong(absl::StrCat("--", flag.name, " stands there twice"));
    }
    const absl::Status parsed = flag.parse(argument.substr(prefix.size()), plan);
    if (parsed.ok()) return parsed;
    return Wrong(absl::StrCat("--", flag.name, ": ", parsed.message()));
  }
  return Wrong(absl::StrCat("\"", argument, "\" is no flag of the jailer's"));
}

absl::Status CheckDescriptors(const Plan& plan) {
  if (plan.status_fd == plan.exec_fd) return Wrong("--status-fd and --exec-fd are the same");
  for (int fd : plan.keep_fds) {
    if (fd == plan.status_fd || fd == plan.exec_fd) {
      return Wrong(absl::StrCat("descriptor ", fd, " belongs to the jailer: it cannot be kept"));
    }
  }
  std::set<int> used(plan.keep_fds.begin(), plan.keep_fds.end());
  used.insert({plan.status_fd, plan.exec_fd});
  for (const OpenRequest& open : plan.opens) {
    if (!used.insert(open.fd).second) {
      return Wrong(absl::StrCat("--open: descriptor ", open.fd, " is in use"));
    }
  }
  return absl::OkStatus();
}

// What no single flag can say.
absl::Status CheckWhole(const std::set<absl::string_view>& seen, const Plan& plan) {
  for (const Flag& flag : kFlags) {
    if (flag.times == Times::kExactlyOnce && seen.count(flag.name) == 0) {
      return Wrong(absl::StrCat("--", flag.name, " is missing"));
    }
  }
  if ((plan.uid == 0 || plan.gid == 0) && !plan.as_root) {
    return Wrong("user or group 0 needs --as-root");
  }
  if (plan.argv.empty()) return Wrong("no command behind --");
  if (plan.cgroup.empty() != plan.hierarchies.empty()) {
    return Wrong("--cgroup and a hierarchy (--cgroup-v1, --cgroup-v2) need each other");
  }
  const bool limits = plan.memory_max || plan.cpu_milli || plan.pids_max;
  if (limits && plan.cgroup.empty()) return Wrong("a limit needs --cgroup");
  return CheckDescriptors(plan);
}

}  // namespace

absl::StatusOr<Plan> ParsePlan(const std::vector<std::string>& arguments) {
  Plan plan;
  std::set<absl::string_view> seen;
  const auto end_of_flags = std::find(arguments.begin(), arguments.end(), "--");
  for (auto argument = arguments.begin(); argument != end_of_flags; ++argument) {
    MSB_RETURN_IF_ERROR(ParseFlag(*argument, seen, plan));
  }
  if (end_of_flags != arguments.end()) plan.argv.assign(end_of_flags + 1, arguments.end());
  MSB_RETURN_IF_ERROR(CheckWhole(seen, plan));

  std::sort(plan.keep_fds.begin(), plan.keep_fds.end());
  plan.keep_fds.erase(std::unique(plan.keep_fds.begin(), plan.keep_fds.end()), plan.keep_fds.end());
  std::stable_sort(
      plan.hierarchies.begin(), plan.hierarchies.end(),
      [](const CgroupHierarchy& a, const CgroupHierarchy& b) { return a.version < b.version; });
  return plan;
}

}  // namespace msb
