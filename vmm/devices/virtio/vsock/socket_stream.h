// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A connection's host end on a Unix socket.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_SOCKET_STREAM_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_SOCKET_STREAM_H_

#include <cstdint>
#include <utility>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/devices/virtio/vsock/host_stream.h"

namespace msb {

// `fd`: a non-blocking stream socket. Edge-triggered, so that a connection without credit costs
// nothing and one with a steady flow no epoll_ctl.
class SocketStream final : public HostStream {
 public:
  SocketStream(EventLoop& loop, UniqueFd fd) : loop_(loop), fd_(std::move(fd)) {}
  ~SocketStream() override { loop_.Unwatch(fd_.get()); }

  absl::Status Watch(Ready ready) override;
  absl::Status SetWriteInterest(WriteInterest interest) override;
  Moved Read(absl::Span<const iovec> into) override;
  Moved Write(absl::Span<const iovec> from) override;
  void CloseRead() override;
  void CloseWrite() override;

 private:
  EventLoop& loop_;
  UniqueFd fd_;
  WriteInterest interest_ = WriteInterest::kOff;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_SOCKET_STREAM_H_
