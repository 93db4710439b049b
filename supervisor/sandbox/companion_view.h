// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A companion as the API tells of it.

#ifndef MSB_SUPERVISOR_SANDBOX_COMPANION_VIEW_H_
#define MSB_SUPERVISOR_SANDBOX_COMPANION_VIEW_H_

#include "msb/v1/sandbox.pb.h"
#include "supervisor/store/sandbox_record.h"

namespace msb {

inline msb::v1::Companion ViewOf(const CompanionRecord& record) {
  msb::v1::Companion view;
  view.set_name(record.name);
  view.set_state(record.running ? msb::v1::COMPANION_STATE_RUNNING
                                : msb::v1::COMPANION_STATE_ENDED);
  view.set_reason(static_cast<msb::v1::Reason>(record.reason));
  view.set_detail(record.detail);
  return view;
}

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_COMPANION_VIEW_H_
