// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A host end in memory, for tests.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_FAKE_STREAM_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_FAKE_STREAM_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "vmm/devices/virtio/vsock/host_stream.h"

namespace msb {

// What the test and the connection share; outlives the stream.
struct FakeHost {
  std::string to_read;                                           // what the host has written
  HostStream::State input_end = HostStream::State::kWouldBlock;  // behind to_read
  std::string written;                                           // what the host has been given
  size_t room = SIZE_MAX;                                        // how much more it takes
  HostStream::State no_room = HostStream::State::kWouldBlock;    // what it says without room
  HostStream::WriteInterest interest = HostStream::WriteInterest::kOff;
  bool read_closed = false;
  bool write_closed = false;
  bool destroyed = false;
};

class FakeStream final : public HostStream {
 public:
  explicit FakeStream(FakeHost& host) : host_(host) {}
  ~FakeStream() override { host_.destroyed = true; }

  absl::Status Watch(Ready) override { return absl::OkStatus(); }
  absl::Status SetWriteInterest(WriteInterest interest) override {
    host_.interest = interest;
    return absl::OkStatus();
  }
  void CloseRead() override { host_.read_closed = true; }
  void CloseWrite() override { host_.write_closed = true; }

  Moved Read(absl::Span<const iovec> into) override {
    Moved moved;
    for (const iovec& piece : into) {
      const size_t size = std::min(piece.iov_len, host_.to_read.size());
      std::memcpy(piece.iov_base, host_.to_read.data(), size);
      host_.to_read.erase(0, size);
      moved.bytes += size;
    }
    if (moved.bytes == 0) moved.state = host_.input_end;
    return moved;
  }

  Moved Write(absl::Span<const iovec> from) override {
    Moved moved;
    for (const iovec& piece : from) {
      const size_t size = std::min(piece.iov_len, host_.room);
      host_.written.append(static_cast<const char*>(piece.iov_base), size);
      host_.room -= size;
      moved.bytes += size;
    }
    if (moved.bytes == 0) moved.state = host_.no_room;
    return moved;
  }

 private:
  FakeHost& host_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_FAKE_STREAM_H_
