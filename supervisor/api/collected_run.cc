// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/collected_run.h"

#include <algorithm>
#include <utility>

#include "supervisor/api/exec_convert.h"

namespace msb {

void CollectedRun::Begin(const std::shared_ptr<Sandbox>& sandbox, ExecSpec spec,
                         std::string input) {
  OpenExec(
      sandbox, std::move(spec), shared_from_this(),
      [self = shared_from_this(), input = std::move(input)](absl::StatusOr<OpenedExec> opened) {
        if (!opened.ok()) return self->Answer(opened.status());
        if (!input.empty()) opened->session->WriteStdin(input, nullptr);
        opened->session->CloseStdin();
        absl::MutexLock lock(&self->mutex_);
        self->session_ = opened->session;
        self->session_->Acknowledge(std::exchange(self->owed_, 0));
      });
}

void CollectedRun::OnOutput(ExecOutput stream, uint64_t, std::string data) {
  absl::MutexLock lock(&mutex_);
  if (session_ != nullptr) {
    session_->Acknowledge(data.size());
  } else {
    owed_ += data.size();
  }
  if (done_ == nullptr) return;
  const bool is_stdout = stream == ExecOutput::kStdout;
  std::string& kept = is_stdout ? *response_->mutable_stdout() : *response_->mutable_stderr();
  const size_t room = limit_ - kept.size();
  kept.append(data, 0, room);
  if (data.size() <= room) return;
  if (is_stdout) {
    response_->set_stdout_cut(true);
  } else {
    response_->set_stderr_cut(true);
  }
}

void CollectedRun::OnExited(const ExecExitedInfo& info) {
  {
    absl::MutexLock lock(&mutex_);
    if (done_ != nullptr) *response_->mutable_exited() = ExitedToProto(info);
  }
  Answer(absl::OkStatus());
}

void CollectedRun::Answer(absl::Status status) {
  std::function<void(absl::Status)> done;
  {
    absl::MutexLock lock(&mutex_);
    done = std::exchange(done_, nullptr);
  }
  if (done != nullptr) done(std::move(status));
}

}  // namespace msb
