// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What one vsock device takes from its host at most.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_LIMITS_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_LIMITS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace msb {

struct VsockLimits {
  // Connections at a time, those included that only flush their last bytes to the host.
  size_t max_connections = 1023;

  // What the guest may send ahead of the host's reader, a connection: the buf_alloc of our packets,
  // and the most that is ever buffered for one. 256 KiB is what Linux gives its own sockets: four
  // packets of 64 KiB, so that two are under way while the credit for the other two travels. More
  // gains nothing (a reader that keeps up leaves the buffer empty) and costs memory when a reader
  // stands still.
  uint32_t window_bytes = 256 << 10;
  // All windows together may have `window_budget_bytes`; connections beyond get the small window.
  // It is one packet of Linux's greatest size. Worst case: budget + max_connections * small window.
  uint32_t small_window_bytes = 64 << 10;
  uint64_t window_budget_bytes = 64 << 20;

  // Clients that have not finished their CONNECT line: how many, and for how long. The oldest gives
  // way to a new one.
  size_t max_handshakes = 64;
  absl::Duration handshake_timeout = absl::Seconds(5);

  // From the CONNECT line to the guest's answer. A guest that boots has not even a driver.
  absl::Duration connect_timeout = absl::Seconds(10);
  // From our SHUTDOWN of both directions to the guest's RST. Linux waits as long for ours.
  absl::Duration shutdown_timeout = absl::Seconds(8);
  // For the last bytes, when one side is gone: how long the other may take none of them.
  absl::Duration linger_timeout = absl::Seconds(60);
  // After a restore: for the guest to take note of the transport reset before it gets connections.
  absl::Duration transport_reset_timeout = absl::Seconds(2);
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_LIMITS_H_
