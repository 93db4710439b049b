// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/exec_convert.h"

#include "base/status_macros.h"
#include "supervisor/api/utf8.h"
#include "supervisor/sandbox/validate.h"

namespace msb {

absl::StatusOr<ExecSpec> ExecSpecFromProto(const msb::v1::ExecStart& start) {
  ExecSpec spec;
  spec.argv.assign(start.argv().begin(), start.argv().end());
  spec.env.insert(start.env().begin(), start.env().end());
  spec.workdir = start.workdir();
  spec.user = start.user();
  if (start.has_pty()) spec.pty = TerminalSize{start.pty().rows(), start.pty().columns()};
  if (start.has_timeout()) {
    MSB_ASSIGN_OR_RETURN(spec.timeout, DurationFromProto(start.timeout(), "timeout"));
  }
  for (const auto& limit : start.rlimits()) {
    spec.limits.push_back({limit.name(), limit.soft(), limit.hard()});
  }
  spec.detach = start.detach();
  spec.stdin_open = start.stdin_open();
  spec.ring_bytes = start.output_ring_bytes();
  return spec;
}

msb::v1::ExecExited ExitedToProto(const ExecExitedInfo& info) {
  msb::v1::ExecExited exited;
  exited.set_exit_code(info.exit_code);
  exited.set_signal(info.signal);
  if (info.timed_out) exited.set_reason(msb::v1::REASON_EXEC_TIMEOUT);
  DurationToProto(info.duration, *exited.mutable_duration());
  DurationToProto(info.user_cpu, *exited.mutable_user_cpu());
  DurationToProto(info.system_cpu, *exited.mutable_system_cpu());
  exited.set_max_rss_bytes(info.max_rss_bytes);
  return exited;
}

msb::v1::ExecInfo ExecInfoToProto(const msb::agent::v1::ExecInfo& info, int64_t boot_unix_ns) {
  msb::v1::ExecInfo out;
  out.set_exec_id(info.exec_id());
  out.set_pid(info.pid());
  for (const auto& word : info.argv()) out.add_argv(Utf8OrReplaced(word));
  out.set_running(info.running());
  out.set_attached(info.attached());
  out.set_pty(info.pty());
  const int64_t at = boot_unix_ns + static_cast<int64_t>(info.started_boottime_ns());
  out.mutable_started_at()->set_seconds(at / 1'000'000'000);
  out.mutable_started_at()->set_nanos(static_cast<int32_t>(at % 1'000'000'000));
  if (info.has_exited()) *out.mutable_exited() = ExitedToProto(ExitedFromGuest(info.exited()));
  return out;
}

}  // namespace msb
