// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One TCP connection of the guest: its end towards the guest, and the host's socket behind it. What
// the policy wants to see before a byte is forwarded (the name in TLS) is held here.

#ifndef MSB_NETWORK_FLOW_TCP_FLOW_H_
#define MSB_NETWORK_FLOW_TCP_FLOW_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "network/flow/environment.h"
#include "network/tcp/connection.h"
#include "network/tcp/held_bytes.h"
#include "network/tls/client_hello.h"

namespace msb::net {

class TcpFlow {
 public:
  // What the first bytes are read for.
  struct Inspection {
    bool policy = false;   // the name has to be one that the policy allows
    bool secrets = false;  // it may be one that secrets go to

    bool any() const { return policy || secrets; }
  };
  // Called once, when nothing is left to do; the flow may be destroyed behind the call.
  using OnDone = std::function<void(TcpFlow&)>;

  // All references outlive the flow.
  TcpFlow(Environment& environment, const TcpEnds& ends, FlowLabel label, OnDone on_done);
  TcpFlow(const TcpFlow&) = delete;
  TcpFlow& operator=(const TcpFlow&) = delete;
  ~TcpFlow();

  // The guest's `syn` to `target` (what its destination stands for), which the policy lets pass.
  // `names`: that `target` has for our resolver.
  void Connect(const TcpSegment& syn, const IpAddress& target, std::vector<std::string> names,
               Inspection inspection);
  // The same to our resolver, at the other end of `socket`.
  void ConnectToResolver(const TcpSegment& syn, UniqueFd socket);
  // The same, once the other side has said by a byte that somebody accepts there.
  void ConnectThrough(const TcpSegment& syn, UniqueFd socket);
  // A client of a published port.
  void Accept(UniqueFd client);
  // A connection of another member's; it is told by a byte that the guest accepts.
  void AcceptMember(UniqueFd client, MemberSlot slot);

  void OnSegment(const TcpSegment& segment);
  // Behind the segments of one turn.
  void OnBatchEnd() { connection_.Acknowledge(); }
  // The link takes frames again.
  void OnDrained();
  // Whether the policy, which is new, lets what the guest has begun go on.
  bool MayGoOn() const;
  // What has said no name yet is asked for one, or no longer, as the policy, which is new, has it.
  void InspectAnew();
  // Ends it on both sides at once; no OnDone.
  void Abort(absl::string_view why);

  bool incoming() const { return label_.direction == Direction::kIn; }
  // Of another member of a private network, who began it.
  bool from_member() const { return slot_.of_all != nullptr; }
  bool to_resolver() const { return to_resolver_; }
  bool connecting() const { return state_ != State::kOpen; }
  bool done() const { return done_; }
  const TcpEnds& ends() const { return connection_.ends(); }
  bool ExpiredAt(absl::Time now) const;

 private:
  enum class State { kConnectingHost, kConnectingGuest, kOpen };

  void OnSocket(uint32_t events);
  void OnHostConnected();
  void OnMemberAnswer();
  void TakeFromGuest(Bytes data, bool finished);
  // Keeps the name in TLS, also where no policy asks for it: the next one may.
  void ReadHello(Bytes data);
  void Inspect();
  Judge::Decision DecideByAddress() const;
  Judge::Decision DecideByName() const;
  // False: the policy denies it, and it is over.
  bool InspectName();
  // To msb-secrets, which has both sides of the connection then.
  void HandOver(const std::string& name);
  void TellPlaceholders(Bytes data);
  void WriteToHost(Bytes data);
  void FlushToHost();
  void ReadFromHost();
  bool ReadSegment();
  void FinishHostIfDrained();
  void EndIfFinished();
  // Ends the connection on both sides, by resets.
  void Break(absl::string_view why);
  void End(absl::string_view detail);
  void UpdateWatch();
  void ArmTimer();

  Environment& environment_;
  FlowLabel label_;
  OnDone on_done_;
  State state_ = State::kConnectingHost;
  UniqueFd socket_;
  TcpConnection connection_;
  Inspection inspection_;
  IpAddress target_;
  std::vector<std::string> names_;  // of the target, known to our resolver when they were used
  ClientHello hello_;               // what the guest began with
  ClientHelloReader hello_reader_;
  HeldBytes held_;  // of the guest, not yet written to the host; bounded by the window
  bool guest_finished_ = false;
  bool host_shut_ = false;  // our FIN is with the host
  bool host_finished_ = false;
  bool wait_for_link_ = false;
  bool to_resolver_ = false;
  bool through_ = false;  // the host's side is another member's
  MemberSlot slot_;       // of the member whose connection it is
  bool opened_ = false;   // told to the audit
  std::optional<uint64_t> handed_over_;
  std::vector<std::string> told_placeholders_;  // once each
  bool done_ = false;
  uint32_t watched_ = 0;
  bool want_read_ = false;
  bool want_write_ = false;
  uint64_t bytes_up_ = 0;
  uint64_t bytes_down_ = 0;
  absl::Time active_;
  absl::Time hello_began_ = absl::InfiniteFuture();
  std::optional<EventLoop::TimerId> timer_;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_TCP_FLOW_H_
