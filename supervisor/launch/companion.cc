// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/companion.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "supervisor/launch/vmm_inputs.h"

namespace msb {
namespace {

// So that the paths of its sockets fit (sockaddr_un) below the longest runtime directory.
constexpr size_t kMaxNameBytes = 6;
// They name the VMM's own files.
constexpr absl::string_view kTakenNames[] = {"vsock", "vmm", "check"};

absl::Status Invalid(const CompanionSpec& spec, absl::string_view what) {
  return MakeError(Reason::kInvalidArgument, absl::StrCat("companion ", spec.name, ": ", what));
}

absl::Status CheckOwnFd(const CompanionSpec& spec, int fd, std::set<int>& used) {
  if (fd < kFirstCompanionOwnFd || fd > kMaxCompanionFd) {
    return Invalid(spec, absl::StrCat("descriptor ", fd, " is not from ", kFirstCompanionOwnFd,
                                      " to ", kMaxCompanionFd));
  }
  if (used.insert(fd).second) return absl::OkStatus();
  return Invalid(spec, absl::StrCat("descriptor ", fd, " is there twice"));
}

absl::Status CheckCompanion(const CompanionSpec& spec) {
  if (!IsCompanionName(spec.name)) return Invalid(spec, "no name of a companion");
  if (spec.executable.empty() || spec.executable.front() != '/') {
    return Invalid(spec, "the executable has no absolute path");
  }
  if (!spec.identity && spec.own_user >= kOwnUsers) return Invalid(spec, "no user of a sandbox's");
  std::set<int> used;
  for (const auto& [number, fd] : spec.fds) {
    MSB_RETURN_IF_ERROR(CheckOwnFd(spec, number, used));
  }
  for (const CompanionSource& source : spec.sources) {
    MSB_RETURN_IF_ERROR(CheckOwnFd(spec, source.fd, used));
    if (source.path.empty() || source.path.front() != '/' ||
        source.path.find('\0') != std::string::npos) {
      return Invalid(spec, "a source has no absolute path");
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsCompanionName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         absl::ascii_islower(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) {
                       return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
                     }) &&
         std::find(std::begin(kTakenNames), std::end(kTakenNames), name) == std::end(kTakenNames);
}

absl::Status CheckCompanions(const std::vector<CompanionSpec>& companions) {
  if (companions.size() > kMaxCompanions) {
    return MakeError(Reason::kLimitExceeded,
                     absl::StrCat("a sandbox has at most ", kMaxCompanions,
                                  " companion processes (mounts and network)"));
  }
  std::set<absl::string_view> names;
  std::set<uint32_t> users;
  for (const CompanionSpec& spec : companions) {
    MSB_RETURN_IF_ERROR(CheckCompanion(spec));
    if (!names.insert(spec.name).second) return Invalid(spec, "the name is there twice");
    if (!spec.identity && !users.insert(spec.own_user).second) {
      return Invalid(spec, "another companion runs as its user");
    }
  }
  return absl::OkStatus();
}

}  // namespace msb
