// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The last word of a VMM process to a supervisor that may be away (vm_spec.proto, exit_event_fd).

#ifndef MSB_VMM_MACHINE_EXIT_EVENT_H_
#define MSB_VMM_MACHINE_EXIT_EVENT_H_

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "msb/vmm/v1/control.pb.h"
#include "msb/vmm/v1/vm_spec.pb.h"

namespace msb {

// Writes `event` as one frame, over what the file held before. Nothing when `file` is invalid; an
// error is logged, since nobody is left to take it.
void WriteExitEvent(const UniqueFd& file, const msb::vmm::v1::VmEvent& event);

// The same before there is a machine: for a spec that cannot be run, whose exit_event_fd may be as
// wrong as the rest. It is written to only where it is an open, regular file.
void ReportEarlyEnd(const msb::vmm::v1::VmSpec& spec, const absl::Status& why);

}  // namespace msb

#endif  // MSB_VMM_MACHINE_EXIT_EVENT_H_
