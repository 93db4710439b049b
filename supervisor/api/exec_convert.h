// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Messages of msb/v1/exec.proto as our own types, and back.

#ifndef MSB_SUPERVISOR_API_EXEC_CONVERT_H_
#define MSB_SUPERVISOR_API_EXEC_CONVERT_H_

#include "absl/status/statusor.h"
#include "msb/agent/v1/agent.pb.h"
#include "msb/v1/exec.pb.h"
#include "supervisor/agent/exec_session.h"
#include "supervisor/sandbox/exec_request.h"

namespace msb {

absl::StatusOr<ExecSpec> ExecSpecFromProto(const msb::v1::ExecStart& start);
msb::v1::ExecExited ExitedToProto(const ExecExitedInfo& info);
// `boot_unix_ns`: when the guest booted, ns since the epoch; its times count from there.
msb::v1::ExecInfo ExecInfoToProto(const msb::agent::v1::ExecInfo& info, int64_t boot_unix_ns);

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_EXEC_CONVERT_H_
