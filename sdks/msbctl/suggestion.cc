// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/suggestion.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace msb {
namespace {

// Letters to insert, delete, replace or change round with their neighbour to get from `a` to `b`
// (optimal string alignment).
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string Nearest(absl::string_view word, const std::vector<std::string>& known) {
  const size_t allowed = std::max<size_t>(1, word.size() / 3);
  std::string nearest;
  size_t least = allowed + 1;
  for (const std::string& candidate : known) {
    // The beginning of a longer word is a slip of it however much is missing.
    const bool begun = word.size() >= 3 && candidate.rfind(std::string(word), 0) == 0;
    const size_t distance = begun ? 1 : Distance(word, candidate);
    if (distance >= least || distance >= candidate.size()) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest;
}

std::string OursFor(absl::string_view word) {
  static constexpr std::pair<absl::string_view, absl::string_view> kElsewhere[] = {
      {"list", "ls"},
      {"remove", "rm"},
      {"delete", "rm"},
      {"destroy", "rm"},
      {"new", "create"},
      {"spawn", "create"},
      {"connect", "shell"},
      {"ssh", "shell"},
      {"sh", "shell"},
      {"bash", "shell"},
      {"enter", "shell"},
      {"copy", "cp"},
      {"upload", "cp"},
      {"download", "cp"},
      {"push", "cp"},
      {"unpause", "resume"},
      {"top", "stats"},
      {"metrics", "stats"},
      {"log", "logs"},
      {"show", "inspect"},
      {"get", "inspect"},
      {"describe", "inspect"},
      {"status", "daemon status"},
      {"images", "image ls"},
      {"pull", "image pull"},
      {"load", "image load"},
      {"save", "image save"},
      {"rmi", "image rm"},
      {"tag", "image tag"},
      {"prune", "image prune"},
      {"check", "doctor"},
      {"diagnose", "doctor"},
  };
  for (const auto& [theirs, ours] : kElsewhere) {
    if (theirs == word) return std::string(ours);
  }
  return "";
}

std::string NextStep(const absl::Status& status) {
  switch (ReasonOf(status)) {
    case Reason::kSandboxNotFound:
      return "msbctl ls -a lists yours";
    case Reason::kSandboxNameTaken:
      return "choose another name; if it is yours, msbctl rm -f NAME frees it";
    case Reason::kSandboxNotRunning:
    case Reason::kSandboxStopped:
    case Reason::kIdleTimeout:
    case Reason::kLifetimeExceeded:
      return "msbctl start NAME";
    case Reason::kSandboxWrongState:
      return "msbctl ls -a shows its state; msbctl resume NAME ends a pause, msbctl rm -f NAME "
             "removes even what runs";
    case Reason::kSandboxStartFailed:
    case Reason::kSandboxStartTimeout:
      return "msbctl logs NAME has the guest's console, msbctl doctor checks the host";
    case Reason::kImageNotFound:
      return "msbctl image ls lists what is here, msbctl image pull NAME fetches one";
    case Reason::kImageInUse:
      return "msbctl rm the sandboxes first";
    case Reason::kImageAccessDenied:
      return "docker login writes what msbctl sends; or msbctl image pull --username NAME "
             "--password-stdin";
    case Reason::kImagePullFailed:
      return "try again: what came is kept";
    case Reason::kExecNotFound:
      return "msbctl ps NAME lists its commands";
    case Reason::kExecAlreadyAttached:
      return "msbctl attach --take-over ends the other client's hold";
    case Reason::kLimitExceeded:
      return "msbctl ls -a shows what exists; msbctl rm what is not needed";
    case Reason::kPathInvalid:
      return "a path in a sandbox is absolute: NAME:/path";
    case Reason::kAgentUnreachable:
      return "msbctl logs NAME has the guest's console; msbctl restart -f NAME boots it again";
    case Reason::kAssetMissing:
    case Reason::kKvmUnavailable:
    case Reason::kQemuUnavailable:
      return "msbctl doctor tells what is missing";
    default:
      return "";
  }
}

}  // namespace msb
