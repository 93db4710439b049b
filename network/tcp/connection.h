// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One end of a TCP connection (RFC 9293), towards the guest: sequence numbers, windows,
// acknowledgements and retransmission. A state machine without sockets and clock: segments go in,
// segments and bytes come out (docs/adr/0007).
//
// The link does not reorder, and loses only what it has no room for, when the guest takes nothing;
// else the guest itself drops, when it has no memory. So there is no congestion window, what
// arrives out of order is dropped and asked for again, and a lost segment of ours is sent again on
// three duplicate acknowledgements or a time-out.

#ifndef MSB_NETWORK_TCP_CONNECTION_H_
#define MSB_NETWORK_TCP_CONNECTION_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "absl/time/time.h"
#include "network/packet/frame_builder.h"
#include "network/packet/ip_packet.h"

namespace msb::net {

struct TcpEnds {
  IpAddress guest;
  uint16_t guest_port = 0;
  IpAddress peer;  // whose part we play
  uint16_t peer_port = 0;
};

class TcpConnection {
 public:
  // Linux's own order of magnitude; a guest that is paused for longer goes on afterwards.
  static constexpr absl::Duration kFirstRetransmit = absl::Milliseconds(300);
  static constexpr absl::Duration kLastRetransmit = absl::Seconds(10);
  // What the guest may send before it hears of us: at most this much waits for a slow host, in at
  // most four times the memory (HeldBytes).
  static constexpr uint32_t kReceiveWindow = 1 << 20;
  // What may be under way to the guest, and so is kept until it is acknowledged.
  static constexpr uint32_t kMaxInFlight = 2 << 20;

  using Output = std::function<void(const TcpHeader& header, Payload payload)>;

  // `mtu` of the link; `initial_sequence` ours, not to be guessed.
  TcpConnection(const TcpEnds& ends, uint16_t mtu, uint32_t initial_sequence, Output output);

  // The guest's SYN; it is answered by Accept.
  void OnSyn(const TcpSegment& syn);
  void Accept();
  // Our own SYN, to a port of the guest.
  void Connect();

  struct Received {
    Bytes data;                // new, in order: the caller takes all of it
    bool established = false;  // by this segment
    bool finished = false;     // the guest sends no more behind `data`
    bool reset = false;        // the connection is over
    bool can_send = false;     // the guest took something, or made room
  };
  Received OnSegment(const TcpSegment& segment);

  // Bytes that may be sent now; a segment has at most segment_bytes().
  uint32_t SendRoom() const;
  uint32_t segment_bytes() const { return send_mss_; }
  // At most SendRoom() and segment_bytes().
  void Send(Payload payload);
  // No more from our side, behind what was sent.
  void Finish();
  // Tells the guest that it is over.
  void Reset();

  // How many bytes the caller still holds of what it took: the window shrinks by them.
  void SetHeld(uint32_t bytes);
  // Acknowledges what was taken, unless a segment did meanwhile. At the end of a batch.
  void Acknowledge();

  // When OnTimer is to be called next, from now; nullopt: nothing is under way.
  std::optional<absl::Duration> TimeToRetransmit() const;
  // The last segment under way has not been answered for that long.
  void OnTimer();
  // Whether something was acknowledged since the last call.
  bool TakeProgress();

  bool established() const { return state_ == State::kEstablished; }
  // Both sides have said all, and the guest knows it.
  bool finished() const { return received_fin_ && sent_fin_ && unacknowledged_ == next_; }
  bool received_fin() const { return received_fin_; }
  uint32_t in_flight() const { return next_ - unacknowledged_; }
  const TcpEnds& ends() const { return ends_; }

 private:
  enum class State { kIdle, kSynReceived, kSynSent, kEstablished, kClosed };
  struct Sent {
    uint32_t sequence;
    Payload payload;
  };

  void Transmit(uint8_t flags, uint32_t sequence, Payload payload = {});
  void TransmitSyn();
  void RetransmitFirst();
  void TakeSynOptions(const TcpSegment& syn);
  // False when the segment is to be dropped.
  bool TakeAcknowledgement(const TcpSegment& segment, Received& received);
  void TakeData(const TcpSegment& segment, Received& received);
  bool OnSynSent(const TcpSegment& segment, Received& received);
  uint32_t Window() const;

  const TcpEnds ends_;
  const uint16_t our_mss_;
  const Output output_;
  State state_ = State::kIdle;
  uint32_t send_mss_;
  int8_t guest_scale_ = 0;
  bool scaling_ = false;

  uint32_t unacknowledged_;  // SND.UNA
  uint32_t next_;            // SND.NXT
  uint32_t send_window_ = 0;
  bool sent_fin_ = false;
  std::deque<Sent> sent_;  // not acknowledged, in order
  int duplicates_ = 0;
  std::optional<uint32_t> recover_;  // until this is acknowledged, the next hole is filled at once
  int retries_ = 0;
  bool progress_ = false;

  uint32_t receive_next_ = 0;       // RCV.NXT
  uint32_t acknowledged_ = 0;       // what the guest was last told
  uint32_t advertised_window_ = 0;  // with that
  uint32_t held_ = 0;
  bool received_fin_ = false;
  bool acknowledge_now_ = false;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_TCP_CONNECTION_H_
