// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// FUSE messages over a stream socket: requests out of scattered buffers, replies into scattered
// buffers, without a copy of ours in between. Framing is FUSE's own: each message begins with its
// length.
//
// Each request has a slot while it is under way. Outside, its `unique` field holds the slot, so
// that whatever numbers a guest chooses, a reply finds its request; the guest's own number is put
// back into the reply.
//
// Threading: the event loop's.

#ifndef MSB_VMM_BACKENDS_FS_FUSE_CHANNEL_H_
#define MSB_VMM_BACKENDS_FS_FUSE_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace msb {

// <linux/fuse.h>, fuse_in_header: what every request begins with.
struct FuseRequestHeader {
  uint32_t length;
  uint32_t opcode;
  uint64_t unique;
  uint64_t node;
  uint32_t uid;
  uint32_t gid;
  uint32_t pid;
  uint32_t padding;
};
static_assert(sizeof(FuseRequestHeader) == 40);

// <linux/fuse.h>, fuse_out_header.
struct FuseReplyHeader {
  uint32_t length;
  int32_t error;  // 0 or a negated errno
  uint64_t unique;
};
static_assert(sizeof(FuseReplyHeader) == 16);

class FuseChannel {
 public:
  using Buffers = absl::InlinedVector<absl::Span<uint8_t>, 4>;
  using Slot = uint32_t;

  // Requests under way at once.
  static constexpr uint32_t kSlots = 1024;
  // Bytes of replies taken in one turn of the loop, so that a mount that is read without end leaves
  // the loop to others.
  static constexpr size_t kMaxTurnBytes = size_t{4} << 20;

  struct Request {
    FuseRequestHeader header = {};  // `length` is that of header and body
    Buffers body;                   // what follows the header
    Buffers reply;                  // at least a FuseReplyHeader; empty: no reply is expected
  };

  struct Callbacks {
    // The reply, of `written` bytes, stands in the request's buffers; or, for one without a reply,
    // the request has been sent. The slot is free again.
    std::function<void(Slot slot, uint32_t written)> on_done;
    // After one or more calls of on_done, or when a slot is free again.
    std::function<void()> on_turn_end;
    // The server is gone, or speaks nonsense. Once; no slot is in use any more, no buffer touched.
    std::function<void(const absl::Status& why)> on_end;
  };

  // `socket` is a connected stream socket. `loop` outlives the channel. A callback may not end the
  // channel's life.
  static absl::StatusOr<std::unique_ptr<FuseChannel>> Create(EventLoop& loop, UniqueFd socket,
                                                             Callbacks callbacks);
  ~FuseChannel();
  FuseChannel(const FuseChannel&) = delete;
  FuseChannel& operator=(const FuseChannel&) = delete;

  bool ended() const { return !socket_.valid(); }
  bool has_room() const { return !free_.empty(); }
  // Whether a request awaits its reply, or its sending.
  bool busy() const { return pending_ > 0; }

  // Needs has_room() and !ended(). The buffers stay valid until on_done, on_end or Abandon. Nothing
  // is sent before Flush.
  Slot Submit(Request request);
  // Sends what was submitted, as far as the socket takes it; the loop sends the rest. May call
  // back.
  void Flush();

  // Forgets the requests under way: their buffers are not touched any more, no callback comes for
  // them. Replies that still arrive are thrown away; a slot is free again once its has.
  void Abandon();

  // Serves the socket until no request is under way, or for `patience`; then the channel ends.
  void Drain(absl::Duration patience);

 private:
  enum class State { kFree, kQueued, kSent, kAbandoned };
  struct Entry {
    State state = State::kFree;
    Request request;
    uint64_t guest_unique = 0;
  };
  enum class Progress { kSome, kNone };

  FuseChannel(EventLoop& loop, UniqueFd socket, Callbacks callbacks);

  void OnReady(uint32_t events);
  absl::Status Send();
  absl::StatusOr<Progress> SendOnce();
  void AdvanceSent(size_t bytes);
  void FinishFront();
  void KeepRestOfFront();
  absl::Status Receive(size_t budget);
  // How many bytes it has taken; 0 when there are none now.
  absl::StatusOr<size_t> ReceiveOnce();
  absl::Status TakeInput();
  absl::Status BeginReply(FuseReplyHeader header);
  void FinishReply();
  void Done(Slot slot, uint32_t written);
  void Free(Slot slot);
  absl::Status UpdateWatch();
  void Settle(const absl::Status& status);
  void End(const absl::Status& why);

  EventLoop& loop_;
  UniqueFd socket_;
  Callbacks callbacks_;
  uint32_t watched_events_ = 0;
  bool freed_ = false;  // a slot, since the last on_turn_end

  std::vector<Entry> entries_;
  std::vector<Slot> free_;
  uint32_t pending_ = 0;

  // Being sent: what is left of an abandoned request first, then slots in their order.
  std::string orphan_;
  std::deque<Slot> outgoing_;
  size_t front_sent_ = 0;  // of outgoing_.front()

  // Being received: the rest of a reply's body, then headers in input_.
  std::vector<uint8_t> input_;
  size_t input_begin_ = 0;
  size_t input_end_ = 0;
  static constexpr Slot kNoSlot = ~Slot{0};
  Slot replying_ = kNoSlot;
  bool in_reply_ = false;
  uint32_t reply_length_ = 0;
  uint32_t reply_position_ = 0;  // bytes of the reply that have arrived, its header included
};

}  // namespace msb

#endif  // MSB_VMM_BACKENDS_FS_FUSE_CHANNEL_H_
