// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/exec/exec_table.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/status_macros.h"

namespace msb {

absl::StatusOr<std::shared_ptr<Execution>> ExecTable::Start(const agent::v1::Exec& request) {
  const std::string& id = request.exec_id();
  if (id.empty() || id.size() > kMaxIdBytes) {
    return MakeError(
        Reason::kInvalidArgument,
        absl::StrCat("the exec id has ", id.size(), " bytes; 1 to ", kMaxIdBytes, " are possible"));
  }
  if (by_id_.contains(id)) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat("the exec id ", id, " is taken"));
  }
  if (by_id_.size() - finished_.size() >= limits_.running) {
    return MakeError(Reason::kTooManyExecs,
                     absl::StrCat(limits_.running, " commands run already; wait for one to end"));
  }
  MSB_ASSIGN_OR_RETURN(std::shared_ptr<Execution> execution,
                       Execution::Start(services_, request, [this, id] { OnFinished(id); }));
  by_pid_[execution->pid()] = execution.get();
  by_id_[id] = execution;
  return execution;
}

absl::StatusOr<std::shared_ptr<Execution>> ExecTable::Find(absl::string_view id) const {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) {
    return MakeError(Reason::kExecNotFound, absl::StrCat("no command has the id ", id));
  }
  return it->second;
}

absl::Status ExecTable::Remove(absl::string_view id) {
  MSB_ASSIGN_OR_RETURN(const std::shared_ptr<Execution> execution, Find(id));
  if (!execution->finished()) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat("the command ", id, " still runs"));
  }
  finished_.erase(std::find(finished_.begin(), finished_.end(), execution->id()));
  Forget(execution->id());
  return absl::OkStatus();
}

agent::v1::ExecList ExecTable::List() const {
  agent::v1::ExecList list;
  // The whole is one frame: commands that are long programs share what room there is.
  const size_t argv_bytes = kMaxFrameBytes / 2 / std::max<size_t>(by_id_.size(), 1);
  for (const auto& [id, execution] : by_id_) *list.add_execs() = execution->Info(argv_bytes);
  std::sort(list.mutable_execs()->begin(), list.mutable_execs()->end(),
            [](const agent::v1::ExecInfo& a, const agent::v1::ExecInfo& b) {
              return a.started_boottime_ns() < b.started_boottime_ns();
            });
  return list;
}

std::vector<int> ExecTable::LeaderPids() const {
  std::vector<int> pids;
  for (const auto& [pid, execution] : by_pid_) pids.push_back(pid);
  return pids;
}

bool ExecTable::ReapChildren() {
  while (true) {
    int status = 0;
    rusage usage{};
    const pid_t pid = ::wait4(-1, &status, WNOHANG, &usage);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return pid == 0;  // otherwise ECHILD
    const auto it = by_pid_.find(pid);
    if (it == by_pid_.end()) continue;  // an orphan
    Execution* const execution = it->second;
    by_pid_.erase(it);
    execution->OnLeaderExit(status, usage);
  }
}

void ExecTable::OnFinished(const std::string& id) {
  finished_.push_back(id);
  finished_bytes_ += by_id_.at(id)->memory_bytes();
  while (finished_.size() > 1 &&
         (finished_.size() > limits_.finished || finished_bytes_ > limits_.finished_bytes)) {
    Forget(finished_.front());
    finished_.pop_front();
  }
}

void ExecTable::Forget(const std::string& id) {
  const auto it = by_id_.find(id);
  finished_bytes_ -= it->second->memory_bytes();
  by_id_.erase(it);
}

}  // namespace msb
