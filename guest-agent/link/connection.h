// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One connection of the host on the loop: reads its first frame, then serves the operation that it
// opens, until either side has nothing more to say.

#ifndef MSB_GUEST_AGENT_LINK_CONNECTION_H_
#define MSB_GUEST_AGENT_LINK_CONNECTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/frame_input.h"
#include "base/unique_fd.h"
#include "guest-agent/link/frame_output.h"
#include "guest-agent/link/wire.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// How long the agent waits for the host to close behind the last frame of an operation. It reads on
// meanwhile: closing on unread input would reset the connection, and the host could lose what it
// has not read.
inline constexpr absl::Duration kLinger = absl::Seconds(10);

// What a connection does behind its first frame. Calls come from the loop. It lives as long as its
// connection, so that it may end that from within any of its methods.
class Operation {
 public:
  virtual ~Operation() = default;
  // Takes what it can of `input`; what it leaves is offered again after ResumeInput or more input.
  // An error ends the operation: the host is told.
  virtual absl::Status OnInput(FrameInput& input) = 0;
  // Something that waited to be sent has left.
  virtual void OnOutputRoom() {}
  // The host has gone before the operation was at its end. Nothing but destruction follows.
  virtual void OnHostGone() {}
};

class Connection {
 public:
  // Decides about a first frame: makes the operation, or takes the socket away (ReleaseSocket) and
  // returns null.
  using Opener = std::function<absl::StatusOr<std::unique_ptr<Operation>>(Connection&,
                                                                          const agent::v1::Open&)>;

  // `on_closed` is called once, when the connection has no socket any more; it may not destroy the
  // connection at once.
  Connection(EventLoop& loop, UniqueFd socket, const Opener& opener,
             std::function<void()> on_closed);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  absl::Status Start();

  // For operations.
  EventLoop& loop() { return loop_; }
  FrameOutput& output() { return output_; }
  // Sends what waits, as far as it goes; the rest follows when there is room. The connection may
  // have closed behind it.
  void Flush();
  // The operation has said all: what waits is sent, then the end of the stream.
  void Finish();
  void Fail(const absl::Status& error);
  void PauseInput();
  void ResumeInput();
  bool open() const { return socket_.valid() && !finishing_; }

  // Hands the socket, blocking from then on, to somebody else.
  UniqueFd ReleaseSocket();
  std::unique_ptr<FrameInput> ReleaseInput() { return std::move(input_); }

 private:
  void OnEvents(uint32_t events);
  void ReadInput();
  void OfferInput();
  absl::Status OpenOperation();
  void OnEndOfInput();
  void DiscardInput();
  void HostGone();
  void Close();
  void UpdateEvents();

  EventLoop& loop_;
  UniqueFd socket_;
  const Opener& opener_;
  std::function<void()> on_closed_;
  std::unique_ptr<FrameInput> input_ = std::make_unique<FrameInput>(kHostBulkFields);
  FrameOutput output_;
  std::unique_ptr<Operation> operation_;
  uint32_t events_ = 0;
  bool input_paused_ = false;
  bool input_ended_ = false;  // the host sends nothing more, but may still listen
  bool finishing_ = false;
  bool output_ended_ = false;
  std::optional<EventLoop::TimerId> linger_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_LINK_CONNECTION_H_
