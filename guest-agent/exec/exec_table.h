// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Every command of the sandbox by its id: those that run, and the last that have finished.

#ifndef MSB_GUEST_AGENT_EXEC_EXEC_TABLE_H_
#define MSB_GUEST_AGENT_EXEC_EXEC_TABLE_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "guest-agent/exec/execution.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

struct ExecLimits {
  // Commands that run at once; beyond that kTooManyExecs.
  size_t running = 1024;
  // Finished ones that can still be listed and attached to. The oldest is forgotten first; the
  // latest stays, whatever it holds.
  size_t finished = 128;
  size_t finished_bytes = 16u << 20;
};

// Belongs to the loop's thread.
class ExecTable {
 public:
  explicit ExecTable(const ExecServices& services, const ExecLimits& limits = {})
      : services_(services), limits_(limits) {}
  ExecTable(const ExecTable&) = delete;
  ExecTable& operator=(const ExecTable&) = delete;

  static constexpr size_t kMaxIdBytes = 128;

  // kInvalidArgument for an id that is empty, too long or taken. Otherwise the errors of
  // Execution::Start. A caller that holds the pointer keeps the execution alive when the table
  // forgets it.
  absl::StatusOr<std::shared_ptr<Execution>> Start(const agent::v1::Exec& request);

  // "NAME=value", for commands that begin from now on and have no such variable of their own.
  void SetDefaultEnvironment(std::vector<std::string> variables) {
    services_.default_environment = std::move(variables);
  }

  // kExecNotFound.
  absl::StatusOr<std::shared_ptr<Execution>> Find(absl::string_view id) const;

  // Forgets a finished one. kExecNotFound; kInvalidArgument when it still runs.
  absl::Status Remove(absl::string_view id);

  agent::v1::ExecList List() const;
  // Of the commands whose leader has not ended. None is reaped before ReapChildren is called.
  std::vector<int> LeaderPids() const;

  // Reaps every child that has ended: the leaders of commands, and orphans that pid 1 inherits.
  // Returns whether any child is left.
  bool ReapChildren();

 private:
  void OnFinished(const std::string& id);
  void Forget(const std::string& id);

  ExecServices services_;
  const ExecLimits limits_;
  absl::flat_hash_map<std::string, std::shared_ptr<Execution>> by_id_;
  absl::flat_hash_map<int, Execution*> by_pid_;  // whose leader lives
  std::deque<std::string> finished_;             // oldest first
  size_t finished_bytes_ = 0;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_EXEC_EXEC_TABLE_H_
