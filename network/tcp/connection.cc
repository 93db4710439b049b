// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/tcp/connection.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace msb::net {
namespace {

constexpr uint32_t kTcpBytes = 20;
constexpr uint16_t kDefaultMss = 536;  // RFC 9293, 3.7.1
constexpr uint16_t kMinMss = 64;       // a smaller one is an attack on us
constexpr int8_t kOurScale = 7;
constexpr int kDuplicatesForLoss = 3;  // RFC 5681, 3.2
constexpr int kMaxBackoff = 6;

uint32_t IpBytes(const TcpEnds& ends) { return ends.guest.is_v4() ? 20 : 40; }

// Sequence numbers wrap: a is before b.
bool Before(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

}  // namespace

TcpConnection::TcpConnection(const TcpEnds& ends, uint16_t mtu, uint32_t initial_sequence,
                             Output output)
    : ends_(ends),
      our_mss_(static_cast<uint16_t>(mtu - IpBytes(ends) - kTcpBytes)),
      output_(std::move(output)),
      send_mss_(kDefaultMss),
      unacknowledged_(initial_sequence),
      next_(initial_sequence) {}

uint32_t TcpConnection::Window() const {
  return held_ >= kReceiveWindow ? 0 : kReceiveWindow - held_;
}

void TcpConnection::Transmit(uint8_t flags, uint32_t sequence, Payload payload) {
  TcpHeader header{.source = ends_.peer,
                   .destination = ends_.guest,
                   .source_port = ends_.peer_port,
                   .destination_port = ends_.guest_port,
                   .sequence = sequence,
                   .flags = flags};
  const bool syn = (flags & kTcpSyn) != 0;
  // RFC 7323, 2.2: the window of a SYN is never scaled.
  const int8_t scale = scaling_ && !syn ? kOurScale : int8_t{0};
  const uint32_t window = std::min<uint32_t>(Window() >> scale, UINT16_MAX);
  header.window = static_cast<uint16_t>(window);
  if ((flags & kTcpAck) != 0) {
    header.acknowledgement = receive_next_;
    acknowledged_ = receive_next_;
    advertised_window_ = window << scale;
    acknowledge_now_ = false;
  }
  if (syn) {
    header.mss = our_mss_;
    const bool offer = state_ == State::kSynSent || scaling_;
    header.window_scale = offer ? kOurScale : int8_t{-1};
  }
  output_(header, std::move(payload));
}

void TcpConnection::TakeSynOptions(const TcpSegment& syn) {
  receive_next_ = syn.sequence + 1;
  acknowledged_ = receive_next_;
  const uint16_t mss = std::max(syn.mss == 0 ? kDefaultMss : syn.mss, kMinMss);
  send_mss_ = std::min(mss, our_mss_);
  scaling_ = syn.window_scale >= 0;
  guest_scale_ = scaling_ ? syn.window_scale : int8_t{0};
  send_window_ = syn.window;
}

void TcpConnection::OnSyn(const TcpSegment& syn) {
  MSB_CHECK(state_ == State::kIdle);
  TakeSynOptions(syn);
}

void TcpConnection::Accept() {
  state_ = State::kSynReceived;
  TransmitSyn();
  next_ = unacknowledged_ + 1;
}

void TcpConnection::Connect() {
  state_ = State::kSynSent;
  TransmitSyn();
  next_ = unacknowledged_ + 1;
}

void TcpConnection::TransmitSyn() {
  const bool answers = state_ == State::kSynReceived;
  Transmit(static_cast<uint8_t>(answers ? kTcpSyn | kTcpAck : kTcpSyn), unacknowledged_);
}

bool TcpConnection::OnSynSent(const TcpSegment& segment, Received& received) {
  const bool acknowledges = (segment.flags & kTcpAck) != 0;
  if (acknowledges && segment.acknowledgement != next_) return false;
  if ((segment.flags & kTcpRst) != 0) {
    received.reset = acknowledges;
    return false;
  }
  if ((segment.flags & kTcpSyn) == 0 || !acknowledges) return false;
  TakeSynOptions(segment);
  unacknowledged_ = next_;
  state_ = State::kEstablished;
  received.established = received.can_send = true;
  progress_ = true;
  retries_ = 0;
  Transmit(kTcpAck, next_);
  return true;
}

TcpConnection::Received TcpConnection::OnSegment(const TcpSegment& segment) {
  Received received;
  if (state_ == State::kIdle || state_ == State::kClosed) return received;
  if (state_ == State::kSynSent) {
    OnSynSent(segment, received);
    return received;
  }
  if ((segment.flags & kTcpRst) != 0) {
    // RFC 5961, 3.2: only exactly what is expected next; anything else is answered.
    if (segment.sequence == receive_next_) {
      received.reset = true;
      state_ = State::kClosed;
    } else {
      acknowledge_now_ = true;
    }
    return received;
  }
  if ((segment.flags & kTcpSyn) != 0) {  // again, or out of place
    if (state_ == State::kSynReceived && segment.sequence + 1 == receive_next_) {
      TransmitSyn();
    } else {
      acknowledge_now_ = true;
    }
    return received;
  }
  if ((segment.flags & kTcpAck) == 0 || !TakeAcknowledgement(segment, received)) return received;
  TakeData(segment, received);
  return received;
}

bool TcpConnection::TakeAcknowledgement(const TcpSegment& segment, Received& received) {
  const uint32_t acknowledgement = segment.acknowledgement;
  if (Before(next_, acknowledgement)) {  // of what was never sent
    acknowledge_now_ = true;
    return false;
  }
  if (Before(acknowledgement, unacknowledged_)) return true;  // old; the data may be new
  const uint32_t window = uint32_t{segment.window} << guest_scale_;
  if (state_ == State::kSynReceived) {
    if (acknowledgement == unacknowledged_) return true;
    state_ = State::kEstablished;
    received.established = true;
  }
  if (acknowledgement == unacknowledged_) {
    const bool repeats = segment.payload.empty() && window == send_window_ && in_flight() > 0 &&
                         (segment.flags & kTcpFin) == 0;
    if (repeats && ++duplicates_ == kDuplicatesForLoss && !recover_.has_value()) {
      recover_ = next_;
      RetransmitFirst();
    }
  } else {
    unacknowledged_ = acknowledgement;
    while (!sent_.empty() &&
           !Before(acknowledgement, sent_.front().sequence + sent_.front().payload.size)) {
      sent_.pop_front();
    }
    duplicates_ = 0;
    retries_ = 0;
    progress_ = true;
    // RFC 6582: each hole but the last is filled as soon as it shows.
    if (recover_.has_value() && Before(acknowledgement, *recover_)) {
      RetransmitFirst();
    } else {
      recover_.reset();
    }
  }
  received.can_send = received.established || window != send_window_ || progress_;
  send_window_ = window;
  return true;
}

void TcpConnection::TakeData(const TcpSegment& segment, Received& received) {
  Bytes data = segment.payload;
  const bool fin = (segment.flags & kTcpFin) != 0;
  if (data.empty() && !fin) {
    // A probe: nothing new, but wants to hear of us.
    if (segment.sequence != receive_next_) acknowledge_now_ = true;
    return;
  }
  acknowledge_now_ = true;
  if (received_fin_ || Before(receive_next_, segment.sequence)) return;  // a hole before it
  const uint32_t known = receive_next_ - segment.sequence;
  if (known > data.size() || (known == data.size() && !fin)) return;
  data.remove_prefix(known);
  // More than the guest was allowed is not taken: it sends it again.
  const uint32_t allowed = acknowledged_ + advertised_window_ - receive_next_;
  const bool cut = data.size() > allowed;
  if (cut) data = data.first(allowed);
  receive_next_ += static_cast<uint32_t>(data.size());
  received.data = data;
  if (fin && !cut) {
    ++receive_next_;
    received_fin_ = received.finished = true;
  }
}

uint32_t TcpConnection::SendRoom() const {
  if (state_ != State::kEstablished || sent_fin_) return 0;
  const uint32_t limit = std::min(send_window_, kMaxInFlight);
  return in_flight() >= limit ? 0 : limit - in_flight();
}

void TcpConnection::Send(Payload payload) {
  MSB_CHECK(payload.size <= SendRoom() && payload.size <= send_mss_);
  const uint32_t sequence = next_;
  next_ += payload.size;
  sent_.push_back({sequence, payload});
  Transmit(kTcpAck | kTcpPsh, sequence, std::move(payload));
}

void TcpConnection::Finish() {
  if (state_ != State::kEstablished || sent_fin_) return;
  sent_fin_ = true;
  Transmit(kTcpAck | kTcpFin, next_);
  ++next_;
}

void TcpConnection::Reset() {
  if (state_ == State::kClosed) return;
  if (state_ == State::kIdle) {
    // Before we have said anything: the answer to a SYN (RFC 9293, 3.10.7.1).
    unacknowledged_ = next_ = 0;
  }
  state_ = State::kClosed;
  Transmit(kTcpRst | kTcpAck, next_);
}

void TcpConnection::SetHeld(uint32_t bytes) {
  held_ = bytes;
  if (state_ != State::kEstablished || received_fin_) return;
  // RFC 9293, 3.8.6.2.2: an opened window is told when it is worth a segment.
  const uint32_t left = acknowledged_ + advertised_window_ - receive_next_;
  if (Window() >= left + kReceiveWindow / 2) acknowledge_now_ = true;
}

void TcpConnection::Acknowledge() {
  if (state_ == State::kEstablished || state_ == State::kSynReceived) {
    if (acknowledge_now_) Transmit(kTcpAck, next_);
  }
}

std::optional<absl::Duration> TcpConnection::TimeToRetransmit() const {
  if (state_ == State::kIdle || state_ == State::kClosed) return std::nullopt;
  // With a closed window nothing may be under way, and yet the news of its opening may be lost.
  if (in_flight() == 0 && !(state_ == State::kEstablished && send_window_ == 0 && !sent_fin_)) {
    return std::nullopt;
  }
  return std::min(kFirstRetransmit * (1 << std::min(retries_, kMaxBackoff)), kLastRetransmit);
}

void TcpConnection::OnTimer() {
  ++retries_;
  duplicates_ = 0;
  if (state_ == State::kSynReceived || state_ == State::kSynSent) return TransmitSyn();
  if (state_ != State::kEstablished) return;
  if (in_flight() == 0) {
    // A byte that it has had already: answered with the window.
    Transmit(kTcpAck, unacknowledged_ - 1);
    return;
  }
  recover_ = next_;
  RetransmitFirst();
}

void TcpConnection::RetransmitFirst() {
  if (!sent_.empty()) {
    Sent& first = sent_.front();
    Transmit(kTcpAck | kTcpPsh, first.sequence, first.payload);
  } else if (sent_fin_ && unacknowledged_ != next_) {
    Transmit(kTcpAck | kTcpFin, next_ - 1);
  }
}

bool TcpConnection::TakeProgress() { return std::exchange(progress_, false); }

}  // namespace msb::net
