// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Tells the host how far the guest has come. Marks are stamped when they happen and sent when the
// connection stands: it never delays the boot, and a host that does not listen changes nothing.

#ifndef MSB_GUEST_AGENT_BOOT_BOOT_MARKS_H_
#define MSB_GUEST_AGENT_BOOT_BOOT_MARKS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

class BootMarks {
 public:
  BootMarks() = default;
  BootMarks(const BootMarks&) = delete;
  BootMarks& operator=(const BootMarks&) = delete;

  // Begins to connect; the round trip passes while the guest boots on.
  void Connect();
  // Stamps a mark; it waits.
  void Add(agent::v1::BootMark::Stage stage, absl::string_view detail = "");
  // Forgets what waits.
  void Clear() { waiting_.clear(); }
  // Sends what waits if the connection stands, and keeps that open.
  void TrySendNow() {
    if (socket_.valid()) TrySend();
  }
  // Sends what waits now, or from the loop once the connection stands, then closes it.
  void SendFrom(EventLoop& loop);
  // Sends what waits and waits for the host to have it, at most for `limit`.
  void SendNow(absl::Duration limit);

 private:
  // False when the connection does not stand yet.
  bool TrySend();

  UniqueFd socket_;
  std::string waiting_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_BOOT_BOOT_MARKS_H_
