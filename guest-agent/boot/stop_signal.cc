// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/stop_signal.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace msb {
namespace {

// Of /proc/PID/status: a table that fits a page unless the process is in very many groups.
std::string ReadStatus(pid_t pid) {
  const UniqueFd file(::open(absl::StrCat("/proc/", pid, "/status").c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char chunk[4096];
  for (ssize_t got; file.valid() && (got = ::read(file.get(), chunk, sizeof(chunk))) > 0;) {
    text.append(chunk, static_cast<size_t>(got));
  }
  return text;
}

// "\nName:\tVALUE\n". Nobody makes up a line: the kernel escapes what the process's name holds.
absl::string_view Field(absl::string_view status, absl::string_view name) {
  const std::string begin = absl::StrCat("\n", name, ":\t");
  const size_t at = status.find(begin);
  if (at == absl::string_view::npos) return {};
  const absl::string_view rest = status.substr(at + begin.size());
  return rest.substr(0, rest.find('\n'));
}

// A set of signals is sixteen hexadecimal digits; signal 1 is the lowest bit.
bool HasSignal(absl::string_view status, absl::string_view name, int signal) {
  const uint64_t set = std::strtoull(std::string(Field(status, name)).c_str(), nullptr, 16);
  return ((set >> (signal - 1)) & 1) != 0;
}

bool Knows(pid_t pid, int signal) {
  const std::string status = ReadStatus(pid);
  return HasSignal(status, "SigCgt", signal) || HasSignal(status, "SigBlk", signal);
}

absl::flat_hash_map<pid_t, pid_t> ReadParents() {
  absl::flat_hash_map<pid_t, pid_t> parents;
  DIR* const proc = ::opendir("/proc");
  if (proc == nullptr) return parents;
  while (const dirent* entry = ::readdir(proc)) {
    pid_t pid = 0;
    pid_t parent = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    if (!absl::SimpleAtoi(Field(ReadStatus(pid), "PPid"), &parent)) continue;  // it has ended
    parents[pid] = parent;
  }
  ::closedir(proc);
  return parents;
}

}  // namespace

std::vector<pid_t> ProcessesThatKnow(int signal, absl::Span<const pid_t> processes) {
  std::vector<pid_t> known;
  std::copy_if(processes.begin(), processes.end(), std::back_inserter(known),
               [&](pid_t pid) { return signal == SIGKILL || Knows(pid, signal); });
  return known;
}

std::vector<pid_t> ProcessesOutside(absl::Span<const pid_t> roots) {
  const absl::flat_hash_map<pid_t, pid_t> parents = ReadParents();
  // How many generations a process is below init; nothing below one of the roots.
  const auto generation = [&](pid_t pid) -> std::optional<size_t> {
    size_t steps = 0;
    // The table was not read in one moment, so that numbers used again may close a circle.
    for (; steps <= parents.size(); ++steps) {
      if (std::find(roots.begin(), roots.end(), pid) != roots.end()) return std::nullopt;
      const auto parent = parents.find(pid);
      if (parent == parents.end()) break;
      pid = parent->second;
    }
    return steps;
  };
  std::vector<std::pair<size_t, pid_t>> outside;
  for (const auto& [pid, parent] : parents) {
    const std::optional<size_t> at = generation(pid);
    if (pid != 1 && at.has_value()) outside.emplace_back(*at, pid);
  }
  std::sort(outside.begin(), outside.end());
  std::vector<pid_t> pids;
  for (const auto& [at, pid] : outside) pids.push_back(pid);
  return pids;
}

}  // namespace msb
