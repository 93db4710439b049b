// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/exec/command.h"

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

using agent::v1::Exec;

bool HasNul(absl::string_view text) { return text.find('\0') != absl::string_view::npos; }

absl::Status CheckStrings(const Exec& exec) {
  if (exec.argv().empty() || exec.argv(0).empty()) {
    return MakeError(Reason::kInvalidArgument, "argv is empty");
  }
  for (const std::string& argument : exec.argv()) {
    if (HasNul(argument)) return MakeError(Reason::kInvalidArgument, "an argument contains NUL");
  }
  for (const auto& variable : exec.env()) {
    if (variable.name().empty() || variable.name().find('=') != std::string::npos ||
        HasNul(variable.name()) || HasNul(variable.value())) {
      return MakeError(Reason::kInvalidArgument,
                       "an environment variable has no name, or NUL or \"=\" in it");
    }
  }
  if (HasNul(exec.cwd())) {
    return MakeError(Reason::kInvalidArgument, "the working directory contains NUL");
  }
  return absl::OkStatus();
}

absl::Status PlanRlimits(const Exec& exec, SpawnPlan& plan) {
  for (const auto& limit : exec.rlimits()) {
    if (limit.resource() < 0 || limit.resource() >= RLIM_NLIMITS || limit.soft() > limit.hard()) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("rlimit ", limit.resource(), " of ", limit.soft(), " up to ",
                                    limit.hard(), " is none of Linux"));
    }
    plan.rlimits.emplace_back(limit.resource(),
                              rlimit{.rlim_cur = limit.soft(), .rlim_max = limit.hard()});
  }
  return absl::OkStatus();
}

const std::string* FindVariable(const Exec& exec, absl::string_view name) {
  for (const auto& variable : exec.env()) {
    if (variable.name() == name) return &variable.value();
  }
  return nullptr;
}

void PlanEnvironment(const Exec& exec, const Identity& identity,
                     absl::Span<const std::string> defaults, SpawnPlan& plan) {
  plan.environment.reserve(static_cast<size_t>(exec.env_size()) + defaults.size() + 4);
  for (const auto& variable : exec.env()) {
    plan.environment.push_back(absl::StrCat(variable.name(), "=", variable.value()));
  }
  const auto add_missing = [&](absl::string_view name, absl::string_view value) {
    if (FindVariable(exec, name) == nullptr) {
      plan.environment.push_back(absl::StrCat(name, "=", value));
    }
  };
  add_missing("PATH", kDefaultPath);
  add_missing("HOME", identity.home);
  if (!identity.name.empty()) add_missing("USER", identity.name);
  if (exec.has_pty()) add_missing("TERM", kDefaultTerm);
  for (const std::string& variable : defaults) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(variable, absl::MaxSplits('=', 1));
    add_missing(parts.first, parts.second);
  }
}

void PlanCandidates(const Exec& exec, SpawnPlan& plan) {
  const std::string& command = exec.argv(0);
  if (command.find('/') != std::string::npos) {
    plan.candidates.push_back(command);
    return;
  }
  const std::string* path = FindVariable(exec, "PATH");
  for (const absl::string_view directory :
       absl::StrSplit(path != nullptr ? absl::string_view(*path) : kDefaultPath, ':')) {
    // An empty element means the working directory, as in execvp(3).
    plan.candidates.push_back(directory.empty() ? absl::StrCat("./", command)
                                                : absl::StrCat(directory, "/", command));
  }
}

void PlanIdentity(const Exec& exec, const Identity& identity, SpawnPlan& plan) {
  plan.uid = identity.uid;
  plan.gid = identity.gid;
  plan.groups = identity.groups;
  for (const int32_t group : exec.supplementary_groups()) {
    plan.groups.push_back(static_cast<uint32_t>(group));
  }
  plan.change_identity = plan.uid != 0 || plan.gid != 0 || !plan.groups.empty();
}

}  // namespace

absl::StatusOr<SpawnPlan> PlanCommand(const Exec& exec, UserDatabase& users,
                                      absl::Span<const std::string> defaults) {
  MSB_RETURN_IF_ERROR(CheckStrings(exec));
  MSB_ASSIGN_OR_RETURN(const Identity identity, users.Resolve(exec.user()));
  SpawnPlan plan;
  MSB_RETURN_IF_ERROR(PlanRlimits(exec, plan));
  PlanEnvironment(exec, identity, defaults, plan);
  PlanCandidates(exec, plan);
  PlanIdentity(exec, identity, plan);
  plan.argv.assign(exec.argv().begin(), exec.argv().end());
  if (!exec.cwd().empty()) {
    plan.working_directories = {exec.cwd()};
  } else {
    // A home that an image names and does not have is no reason to refuse a command.
    plan.working_directories = {identity.home, "/"};
  }
  plan.controlling_terminal = exec.has_pty();
  return plan;
}

absl::Status SpawnError(const Exec& exec, const SpawnResult& result) {
  switch (result.step) {
    case SpawnStep::kExec:
      if (!result.found) {
        return ErrnoError(Reason::kCommandNotFound, exec.argv(0), result.error);
      }
      if (result.error == ENOENT) {
        return ErrnoError(Reason::kCommandNotExecutable,
                          absl::StrCat(exec.argv(0), " (its interpreter or loader is missing)"),
                          result.error);
      }
      return ErrnoError(Reason::kCommandNotExecutable, exec.argv(0), result.error);
    case SpawnStep::kWorkingDirectory:
      return ErrnoError(Reason::kWorkingDirectoryInvalid,
                        exec.cwd().empty() ? absl::string_view("/") : exec.cwd(), result.error);
    case SpawnStep::kRlimit:
      return ErrnoError(Reason::kInvalidArgument, "set a resource limit", result.error);
    case SpawnStep::kClone:
      return ErrnoError(Reason::kTooManyExecs, "start a process in the guest", result.error);
    default:
      return ErrnoError(Reason::kInternalBug,
                        absl::StrCat("start a process, step ", static_cast<int>(result.step)),
                        result.error);
  }
}

}  // namespace msb
