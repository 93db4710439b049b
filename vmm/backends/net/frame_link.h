// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Ethernet frames over a Unix stream socket: a 4-byte big-endian length, then the frame. The
// protocol of QEMU's stream netdev and of passt.
//
// The other end (msb-net) connects to a listening socket that we were given, and may do so again
// after it has died: the newest connection is the link. A connection may also send the socket that
// is to be the link (SCM_RIGHTS, with a byte), which then takes its place: for a peer that was
// started with one end of a pair. A link that ends loses the frames under way and nothing else.
//
// Threading: the event loop's.

#ifndef MSB_VMM_BACKENDS_NET_FRAME_LINK_H_
#define MSB_VMM_BACKENDS_NET_FRAME_LINK_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace msb {

class FrameLinkObserver {
 public:
  virtual ~FrameLinkObserver() = default;
  // The link came up or went down; FrameLink::up() says which.
  virtual void OnLinkChanged() = 0;
  // Peek may have a frame.
  virtual void OnFrames() = 0;
  // Send may take bytes again, after it had not taken all.
  virtual void OnWritable() = 0;
};

class FrameLink {
 public:
  static constexpr size_t kLengthBytes = 4;
  static constexpr size_t kMinFrameBytes = 14;  // addresses and type
  // An IP packet of 65,535 bytes with an Ethernet header and a VLAN tag.
  static constexpr size_t kMaxFrameBytes = 65535 + 14 + 4;

  // Both outlive the link.
  FrameLink(EventLoop& loop, FrameLinkObserver& observer);
  FrameLink(const FrameLink&) = delete;
  FrameLink& operator=(const FrameLink&) = delete;
  ~FrameLink();

  // Takes connections from a non-blocking listening Unix socket. Once.
  absl::Status Listen(UniqueFd listener);

  // Makes a connected socket the link.
  void Attach(UniqueFd connection) { Take(std::move(connection)); }

  bool up() const { return connection_.valid(); }

  // Sends bytes of the stream, lengths included; returns how many were taken. When those are not
  // all, OnWritable follows. A broken connection takes nothing and is reported by OnLinkChanged,
  // not before this returns.
  size_t Send(absl::Span<const iovec> bytes);

  // The next whole frame, valid until the next call of Peek or Consume; empty when there is none.
  // Reads the socket when no frame is at hand.
  absl::Span<const uint8_t> Peek();
  // Done with the frame that Peek returned.
  void Consume();
  // Whether OnFrames is wanted. Off: the other end is held up once the socket is full.
  enum class Reading { kOff, kOn };
  void SetReading(Reading reading);

 private:
  void OnListenerReady();
  void OnEvents(uint32_t events);
  void Take(UniqueFd connection);
  bool Fill();
  void Drop(const char* why);
  void UpdateWatch();

  EventLoop& loop_;
  FrameLinkObserver& observer_;
  UniqueFd listener_;
  UniqueFd connection_;
  Reading reading_ = Reading::kOn;
  bool want_write_ = false;
  uint32_t watched_events_ = 0;
  EventLoop::TimerId report_{};  // of a link that broke within a call
  std::vector<uint8_t> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace msb

#endif  // MSB_VMM_BACKENDS_NET_FRAME_LINK_H_
