// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/stack.h"

#include <sys/socket.h>

#include <algorithm>
#include <string>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb::net {
namespace {

constexpr uint16_t kDnsPort = 53;
constexpr absl::Duration kSweepInterval = absl::Seconds(5);
// Interfaces come and go; their addresses are the host's own, which no guest reaches unasked.
constexpr absl::Duration kHostAddressesInterval = absl::Seconds(10);

// RFC 4861, 4.3 and 4.4.
constexpr uint8_t kNeighbourSolicitation = 135;
constexpr uint8_t kNeighbourAdvertisement = 136;

}  // namespace

Stack::Stack(Environment& environment)
    : environment_(environment),
      resolver_(environment),
      up_bytes_(environment.limits.bytes_per_second_up),
      up_packets_(environment.limits.packets_per_second) {
  environment_.down = TokenBucket(environment.limits.bytes_per_second_down);
  environment_.on_room = [this] { OnDrained(); };
  environment_.judge.set_is_member(
      [this](const IpAddress& address) { return environment_.members.Has(address); });
  environment_.judge.set_behind(
      [this](const IpAddress& address) { return environment_.Behind(address); });
  // Half is this guest's own, whatever its neighbours do together.
  environment_.members.set_limits({.members = environment_.limits.max_members,
                                   .connections = environment_.limits.max_flows / 2});
  environment_.members.set_on_flow(
      [this](const IpAddress& from, const msb::net::v1::PeerFlow& flow, UniqueFd socket,
             MemberSlot slot) { OnMemberFlow(from, flow, std::move(socket), std::move(slot)); });
  Sweep();
}

Stack::~Stack() {
  environment_.loop.Cancel(sweep_timer_);
  environment_.loop.Cancel(bury_timer_);
  environment_.loop.Cancel(throttle_timer_);
}

// --- frames of the guest ---

void Stack::OnFrame(Bytes frame) {
  Throttle(frame.size());
  if (frame.size() < kEthernetBytes) return environment_.audit.CountDropped();
  const uint16_t type = Load16(&frame[12]);
  const Bytes rest = frame.subspan(kEthernetBytes);
  if (type == kEtherTypeArp) return OnArp(rest);
  std::optional<IpPacket> packet;
  if (type == kEtherTypeIpv4) packet = ParseIpv4(rest);
  if (type == kEtherTypeIpv6) packet = ParseIpv6(rest);
  if (!packet.has_value()) return environment_.audit.CountDropped();
  OnIp(*packet);
}

void Stack::OnBatchEnd() {
  for (TcpFlow* const flow : touched_) {
    if (!flow->done()) flow->OnBatchEnd();
  }
  touched_.clear();
  environment_.link->Flush();
}

void Stack::OnDrained() {
  std::vector<TcpFlow*> waiting;
  waiting.reserve(tcp_.size());
  for (auto& [key, flow] : tcp_) waiting.push_back(flow.get());
  for (TcpFlow* const flow : waiting) flow->OnDrained();
}

void Stack::Throttle(size_t bytes) {
  const absl::Time now = absl::Now();
  up_bytes_.Take(bytes, now);
  up_packets_.Take(1, now);
  const absl::Duration wait = std::max(up_bytes_.Wait(now), up_packets_.Wait(now));
  if (wait <= absl::ZeroDuration()) return;
  environment_.link->PauseReading();
  environment_.loop.Cancel(throttle_timer_);
  throttle_timer_ = environment_.loop.After(wait, [this] { environment_.link->ResumeReading(); });
}

// RFC 826: who has the gateway's address, or any other but the guest's own?
void Stack::OnArp(Bytes bytes) {
  constexpr uint8_t kEthernetIpv4[] = {0, 1, 8, 0, 6, 4};
  constexpr uint16_t kRequest = 1;
  constexpr uint16_t kReply = 2;
  if (bytes.size() < 28 || !std::equal(kEthernetIpv4, kEthernetIpv4 + 6, bytes.begin()) ||
      Load16(&bytes[6]) != kRequest) {
    return;
  }
  const IpAddress target = IpAddress::FromBytes(bytes.subspan(24, 4));
  if (target != environment_.addresses.gateway_v4) return;
  std::string reply(bytes.begin(), bytes.begin() + 28);
  auto* const out = reinterpret_cast<uint8_t*>(reply.data());
  Store16(kReply, out + 6);
  const Mac& mac = environment_.link_addresses.gateway_mac;
  std::copy(mac.begin(), mac.end(), out + 8);
  std::copy_n(bytes.begin() + 24, 4, out + 14);
  std::copy_n(bytes.begin() + 8, 10, out + 18);
  environment_.Reply(BuildRaw(environment_.link_addresses, kEtherTypeArp, std::move(reply)));
}

void Stack::OnNeighbourSolicitation(const IpPacket& packet) {
  if (packet.payload.size() < 24 || packet.hop_limit != 255) return;
  const IpAddress target = IpAddress::FromBytes(packet.payload.subspan(8, 16));
  if (target != environment_.addresses.gateway_v6) return;
  constexpr uint8_t kRouterSolicitedOverride = 0xe0;
  std::string message(8, '\0');
  message[0] = static_cast<char>(kNeighbourAdvertisement);
  message[4] = static_cast<char>(kRouterSolicitedOverride);
  message.append(target.bytes().begin(), target.bytes().end());
  message += std::string("\2\1", 2);  // target link-layer address
  const Mac& mac = environment_.link_addresses.gateway_mac;
  message.append(mac.begin(), mac.end());
  Frame frame = BuildIcmp(environment_.link_addresses, target, packet.source, std::move(message));
  frame.header[kEthernetBytes + 7] = 255;  // RFC 4861, 7.1.2
  environment_.Reply(std::move(frame));
}

void Stack::OnIp(const IpPacket& packet) {
  const Addresses& addresses = environment_.addresses;
  if (packet.protocol == kProtocolIcmpv6 && !packet.destination.is_v4() &&
      !packet.payload.empty() && packet.payload[0] == kNeighbourSolicitation) {
    return OnNeighbourSolicitation(packet);  // from a link-local address too
  }
  // Nobody speaks for others; and what the guest says to the whole link is for nobody.
  if (packet.source != addresses.GuestFor(packet.source) ||
      Classify(packet.destination).Has(Group::kMulticast)) {
    return environment_.audit.CountDropped();
  }
  switch (packet.protocol) {
    case kProtocolTcp:
      return OnTcp(packet);
    case kProtocolUdp:
      return OnUdp(packet);
    case kProtocolIcmp:
    case kProtocolIcmpv6:
      return OnEcho(packet);
    default:
      environment_.audit.CountDropped();
      environment_.Reply(BuildUnreachable(environment_.link_addresses, Unreachable::kProhibited,
                                          addresses.GatewayFor(packet.source), packet));
  }
}

FlowLabel Stack::LabelOf(Direction direction, Protocol protocol, const FlowKey& key,
                         const Judge::Decision& decision) const {
  const std::string guest = EndpointText(environment_.addresses.GuestFor(key.peer), key.guest_port);
  const std::string peer = EndpointText(key.peer, key.peer_port);
  const bool out = direction == Direction::kOut;
  return {.direction = direction,
          .protocol = protocol,
          .source = out ? guest : peer,
          .destination = out ? peer : guest,
          .name = decision.name,
          .rule = decision.verdict.rule,
          .policy_version = environment_.audit.policy_version()};
}

bool Stack::HasRoom(bool connecting) const {
  if (tcp_.size() + udp_.size() + ping_.size() >= environment_.limits.max_flows) return false;
  if (!connecting || tcp_.size() < environment_.limits.max_connecting) return true;
  const auto open = std::count_if(tcp_.begin(), tcp_.end(),
                                  [](const auto& entry) { return entry.second->connecting(); });
  return static_cast<uint32_t>(open) < environment_.limits.max_connecting;
}

// --- TCP ---

void Stack::OnTcp(const IpPacket& packet) {
  const std::optional<TcpSegment> segment = ParseTcp(packet.payload);
  if (!segment.has_value()) return environment_.audit.CountDropped();
  const FlowKey key{segment->source_port, segment->destination_port, packet.destination};
  const auto found = tcp_.find(key);
  if (found != tcp_.end()) {
    touched_.insert(found->second.get());
    return found->second->OnSegment(*segment);
  }
  const uint8_t kind = segment->flags & (kTcpSyn | kTcpAck | kTcpRst);
  if (kind == kTcpSyn) return OpenTcp(key, *segment, packet);
  // RFC 9293, 3.10.7.1: to what does not exist, a reset.
  if ((kind & kTcpRst) == 0) RefuseTcp(key, *segment, packet);
}

void Stack::RefuseTcp(const FlowKey& key, const TcpSegment& segment, const IpPacket& packet) {
  const bool acknowledges = (segment.flags & kTcpAck) != 0;
  const uint32_t taken = static_cast<uint32_t>(segment.payload.size()) +
                         ((segment.flags & kTcpSyn) != 0 ? 1 : 0) +
                         ((segment.flags & kTcpFin) != 0 ? 1 : 0);
  environment_.Reply(
      BuildTcp(environment_.link_addresses,
               {.source = key.peer,
                .destination = packet.source,
                .source_port = key.peer_port,
                .destination_port = key.guest_port,
                .sequence = acknowledges ? segment.acknowledgement : 0,
                .acknowledgement = acknowledges ? 0 : segment.sequence + taken,
                .flags = static_cast<uint8_t>(acknowledges ? kTcpRst : kTcpRst | kTcpAck)}));
}

void Stack::OpenTcp(const FlowKey& key, const TcpSegment& syn, const IpPacket& packet) {
  const TcpEnds ends{packet.source, key.guest_port, key.peer, key.peer_port};
  const bool dns = key.peer_port == kDnsPort;
  Judge::Decision decision;
  decision.verdict.action = Action::kAllow;
  if (!dns) {
    decision = environment_.judge.Decide(Direction::kOut, Protocol::kTcp, key.peer, key.peer_port,
                                         absl::Now());
  }
  FlowLabel label = LabelOf(Direction::kOut, Protocol::kTcp, key, decision);
  if (decision.verdict.action == Action::kDeny) {
    environment_.audit.Denied(label, decision.detail);
    return RefuseTcp(key, syn, packet);
  }
  if (!HasRoom(/*connecting=*/true)) {
    environment_.audit.Failed(label, "too many connections");
    return RefuseTcp(key, syn, packet);
  }
  auto flow = std::make_unique<TcpFlow>(environment_, ends, std::move(label),
                                        [this](TcpFlow& done) { OnTcpDone(done); });
  TcpFlow& opened = *flow;
  AddTcp(key, std::move(flow));
  if (!dns && environment_.members.Has(key.peer)) {
    absl::StatusOr<UniqueFd> socket = OpenThrough(key, Protocol::kTcp);
    if (socket.ok()) return opened.ConnectThrough(syn, *std::move(socket));
    opened.Abort(socket.status().message());
    OnTcpDone(opened);
    return RefuseTcp(key, syn, packet);
  }
  if (!dns) {
    return opened.Connect(
        syn, environment_.Behind(key.peer), std::move(decision.names),
        {.policy = decision.checks_name, .secrets = environment_.secrets.UsesPort(key.peer_port)});
  }
  int ends_of_pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_of_pair) != 0) {
    return opened.Abort("no socket"), OnTcpDone(opened);
  }
  resolver_.Serve(UniqueFd(ends_of_pair[1]));
  opened.ConnectToResolver(syn, UniqueFd(ends_of_pair[0]));
}

void Stack::AddTcp(const FlowKey& key, std::unique_ptr<TcpFlow> flow) {
  touched_.insert(flow.get());
  tcp_[key] = std::move(flow);
}

void Stack::OnTcpDone(TcpFlow& flow) {
  const FlowKey key{flow.ends().guest_port, flow.ends().peer_port, flow.ends().peer};
  const auto found = tcp_.find(key);
  if (found == tcp_.end() || found->second.get() != &flow) return;
  touched_.erase(&flow);
  buried_.push_back(std::move(found->second));
  tcp_.erase(found);
  if (buried_.size() > 1) return;
  bury_timer_ = environment_.loop.After(absl::ZeroDuration(), [this] { buried_.clear(); });
}

// --- UDP, echo ---

void Stack::OnUdp(const IpPacket& packet) {
  const std::optional<UdpDatagram> datagram = ParseUdp(packet.payload);
  if (!datagram.has_value()) return environment_.audit.CountDropped();
  const FlowKey key{datagram->source_port, datagram->destination_port, packet.destination};
  if (key.peer_port == kDnsPort) return OnDns(key, *datagram);
  auto found = udp_.find(key);
  if (found != udp_.end() && found->second->dead()) {
    udp_.erase(found);
    found = udp_.end();
  }
  UdpFlow* const flow = found != udp_.end() ? found->second.get() : OpenUdp(key, packet);
  if (flow != nullptr) flow->ToHost(*datagram, packet);
}

UdpFlow* Stack::OpenUdp(const FlowKey& key, const IpPacket& packet) {
  Judge::Decision decision = environment_.judge.Decide(Direction::kOut, Protocol::kUdp, key.peer,
                                                       key.peer_port, absl::Now());
  FlowLabel label = LabelOf(Direction::kOut, Protocol::kUdp, key, decision);
  Unreachable why = Unreachable::kProhibited;
  if (decision.verdict.action == Action::kDeny) {
    environment_.audit.Denied(label, decision.detail);
  } else if (HasRoom(/*connecting=*/false)) {
    const UdpEnds ends{packet.source, key.guest_port, key.peer, key.peer_port};
    auto flow = std::make_unique<UdpFlow>(environment_, ends, std::move(label),
                                          environment_.Behind(key.peer), key.peer_port,
                                          /*publisher=*/-1);
    flow->set_names(std::move(decision.names));
    absl::Status started;
    if (environment_.members.Has(key.peer)) {
      absl::StatusOr<UniqueFd> socket = OpenThrough(key, Protocol::kUdp);
      started =
          socket.ok() ? flow->StartThrough(*std::move(socket), MemberSlot()) : socket.status();
    } else {
      started = flow->Start();
    }
    if (started.ok()) return (udp_[key] = std::move(flow)).get();
    why = Unreachable::kHost;
  } else {
    environment_.audit.Failed(label, "too many flows");
  }
  environment_.Reply(BuildUnreachable(environment_.link_addresses, why, key.peer, packet));
  return nullptr;
}

void Stack::OnDns(const FlowKey& key, const UdpDatagram& datagram) {
  resolver_.Resolve(
      datagram.payload, Resolver::Transport::kUdp, [this, key](const std::string& answer) {
        if (answer.empty()) return;
        Bytes bytes(reinterpret_cast<const uint8_t*>(answer.data()), answer.size());
        std::string cut;
        if (bytes.size() + kUdpOverheadBytes > environment_.mtu) {
          cut = TruncateDnsAnswer(bytes);
          bytes = {reinterpret_cast<const uint8_t*>(cut.data()), cut.size()};
        }
        environment_.Reply(BuildUdp(environment_.link_addresses, key.peer, key.peer_port,
                                    environment_.addresses.GuestFor(key.peer), key.guest_port,
                                    MakePayload(bytes)));
      });
}

void Stack::OnEcho(const IpPacket& packet) {
  const std::optional<IcmpEcho> echo = ParseEcho(packet.payload);
  const bool v4 = packet.destination.is_v4();
  if (!echo.has_value() || echo->type != (v4 ? kEchoRequestV4 : kEchoRequestV6)) return;
  if (environment_.addresses.IsGateway(packet.destination)) {
    environment_.Reply(BuildIcmp(
        environment_.link_addresses, packet.destination, packet.source,
        MakeEcho(v4 ? kEchoReplyV4 : kEchoReplyV6, echo->id, echo->sequence, echo->data)));
    return;
  }
  if (environment_.members.Has(packet.destination)) {
    // Between members there are connections and datagrams, and no ICMP.
    environment_.Reply(BuildUnreachable(environment_.link_addresses, Unreachable::kHost,
                                        environment_.addresses.GatewayFor(packet.source), packet));
    return;
  }
  const FlowKey key{echo->id, 0, packet.destination};
  const auto found = ping_.find(key);
  PingFlow* const flow = found != ping_.end() ? found->second.get() : OpenPing(key, packet);
  if (flow != nullptr) flow->ToHost(*echo);
}

PingFlow* Stack::OpenPing(const FlowKey& key, const IpPacket& packet) {
  const Judge::Decision decision =
      environment_.judge.Decide(Direction::kOut, Protocol::kIcmp, key.peer, 0, absl::Now());
  const FlowLabel label = LabelOf(Direction::kOut, Protocol::kIcmp, key, decision);
  Unreachable why = Unreachable::kHost;
  if (decision.verdict.action == Action::kDeny) {
    environment_.audit.Denied(label, decision.detail);
    why = Unreachable::kProhibited;
  } else if (HasRoom(/*connecting=*/false)) {
    auto flow = std::make_unique<PingFlow>(environment_, key.peer, key.peer, key.guest_port);
    const absl::Status started = flow->Start();
    if (started.ok()) {
      environment_.audit.Opened(label);
      return (ping_[key] = std::move(flow)).get();
    }
    environment_.audit.Failed(label, started.message());
  } else {
    environment_.audit.Failed(label, "too many flows");
  }
  environment_.Reply(BuildUnreachable(environment_.link_addresses, why,
                                      environment_.addresses.GatewayFor(packet.source), packet));
  return nullptr;
}

// --- policy, time ---

void Stack::SetPolicy(Policy policy) {
  environment_.audit.SetPolicy(policy);
  environment_.judge.SetPolicy(std::move(policy));
  std::vector<TcpFlow*> begun;
  begun.reserve(tcp_.size());
  for (const auto& [key, flow] : tcp_) begun.push_back(flow.get());
  for (TcpFlow* const flow : begun) {
    if (MayGoOn(*flow)) {
      flow->InspectAnew();
      continue;
    }
    flow->Abort("denied by a new policy");
    OnTcpDone(*flow);
  }
  absl::erase_if(udp_, [this](const auto& entry) { return !MayGoOn(entry.first, *entry.second); });
  ping_.clear();  // decided anew with the next one
}

bool Stack::MayGoOn(const TcpFlow& flow) const {
  if (!flow.incoming()) return flow.to_resolver() || flow.MayGoOn();
  // A client of a published port: whom the guest sees is not who was decided about.
  if (!flow.from_member()) return true;
  return environment_.judge
             .Decide(Direction::kIn, Protocol::kTcp, flow.ends().peer, flow.ends().guest_port,
                     absl::Now())
             .verdict.action == Action::kAllow;
}

bool Stack::MayGoOn(const FlowKey& key, const UdpFlow& flow) const {
  if (flow.publisher() >= 0) return true;
  const Judge& judge = environment_.judge;
  const Judge::Decision decision =
      flow.from_member()
          ? judge.Decide(Direction::kIn, Protocol::kUdp, key.peer, key.guest_port, absl::Now())
          : judge.Decide(Direction::kOut, Protocol::kUdp, key.peer, key.peer_port, absl::Now(),
                         flow.names());
  return decision.verdict.action == Action::kAllow;
}

absl::Status Stack::SetSecrets(const msb::net::v1::SecretHosts& hosts) {
  MSB_RETURN_IF_ERROR(environment_.secrets.Set(hosts));
  environment_.judge.SetSecrets(!environment_.secrets.empty());
  return absl::OkStatus();
}

void Stack::Sweep() {
  const absl::Time now = absl::Now();
  if (now - host_addresses_read_ >= kHostAddressesInterval) {
    const absl::Status read = ReadHostAddresses(environment_.judge);
    if (read.ok()) {
      host_addresses_read_ = now;
    } else {  // again at the next sweep
      MSB_LOG(kWarning) << "the host's addresses are not read anew: " << read.message();
    }
  }
  std::vector<TcpFlow*> expired;
  for (const auto& [key, flow] : tcp_) {
    if (flow->ExpiredAt(now)) expired.push_back(flow.get());
  }
  for (TcpFlow* const flow : expired) {
    flow->Abort("idle for too long");
    OnTcpDone(*flow);
  }
  absl::erase_if(udp_, [now](const auto& entry) {
    return entry.second->dead() || entry.second->ExpiredAt(now);
  });
  absl::erase_if(ping_, [now](const auto& entry) { return entry.second->ExpiredAt(now); });
  sweep_timer_ = environment_.loop.After(kSweepInterval, [this] { Sweep(); });
}

void Stack::FillStatus(msb::net::v1::Status& status) const {
  environment_.audit.FillStatus(status);
  for (const auto& listener : ports_) *status.add_ports() = listener->port();
  status.set_tcp_flows(static_cast<uint32_t>(tcp_.size()));
  status.set_udp_flows(static_cast<uint32_t>(udp_.size()));
}

}  // namespace msb::net
