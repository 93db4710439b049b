// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The host's end of a connection, as the connection sees it.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_HOST_STREAM_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_HOST_STREAM_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace msb {

// Non-blocking, in both directions. Destroying it closes it.
class HostStream {
 public:
  enum class State {
    kOpen,        // there may be more
    kWouldBlock,  // nothing now; `ready` tells when
    kEnded,       // this direction is over
    kBroken,      // the connection cannot go on
  };
  struct Moved {
    size_t bytes = 0;
    State state = State::kOpen;
  };

  // What `ready` is called with: news since the last call, not a level.
  static constexpr uint32_t kReadable = 1;
  static constexpr uint32_t kWritable = 2;
  static constexpr uint32_t kInputEnds = 4;  // behind what can still be read
  static constexpr uint32_t kGone = 8;       // nobody reads any more, and kInputEnds
  using Ready = std::function<void(uint32_t what)>;

  enum class WriteInterest { kOff, kOn };

  virtual ~HostStream() = default;

  // `ready` may destroy the stream. A stream without news never calls it.
  virtual absl::Status Watch(Ready ready) = 0;
  // kWritable is reported only where asked for.
  virtual absl::Status SetWriteInterest(WriteInterest interest) = 0;

  virtual Moved Read(absl::Span<const iovec> into) = 0;
  // Fewer bytes than were given: write the others when it is kWritable.
  virtual Moved Write(absl::Span<const iovec> from) = 0;
  // Ends one direction. The peer is told.
  virtual void CloseRead() = 0;
  virtual void CloseWrite() = 0;
};

// Takes the guest's own connections to one port of the host.
class HostService {
 public:
  virtual ~HostService() = default;
  // Null refuses.
  virtual std::unique_ptr<HostStream> Accept(uint32_t guest_port) = 0;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_HOST_STREAM_H_
