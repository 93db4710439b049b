// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/audit.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace msb::net {

using msb::net::v1::Event;

absl::string_view ProtocolName(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "tcp";
    case Protocol::kUdp:
      return "udp";
    case Protocol::kIcmp:
      return "icmp";
    case Protocol::kAny:
      break;
  }
  return "any";
}

std::string EndpointText(const IpAddress& address, uint16_t port) {
  if (address.is_v4()) return absl::StrCat(address.ToString(), ":", port);
  return absl::StrCat("[", address.ToString(), "]:", port);
}

void Audit::SetPolicy(const Policy& policy) {
  policy_ = policy;
  ++policy_version_;
  counters_.assign(policy.rules.size() + 1, Counters());
}

Counters& Audit::CountersOf(const FlowLabel& flow) {
  if (flow.policy_version != policy_version_) return stale_;
  if (flow.rule < 0 || static_cast<size_t>(flow.rule) >= policy_.rules.size()) {
    return counters_.back();
  }
  return counters_[static_cast<size_t>(flow.rule)];
}

std::string Audit::RuleText(int rule) const {
  if (rule < 0 || static_cast<size_t>(rule) >= policy_.rules.size()) {
    return std::string(PresetName(policy_.preset));
  }
  return policy_.rules[static_cast<size_t>(rule)].ToString();
}

void Audit::Opened(const FlowLabel& flow) {
  ++CountersOf(flow).flows;
  Emit(Event::KIND_FLOW_OPENED, flow, 0, 0, "");
}

void Audit::Closed(const FlowLabel& flow, uint64_t bytes_up, uint64_t bytes_down,
                   absl::string_view detail) {
  Counters& counters = CountersOf(flow);
  counters.bytes_up += bytes_up;
  counters.bytes_down += bytes_down;
  bytes_up_ += bytes_up;
  bytes_down_ += bytes_down;
  Emit(Event::KIND_FLOW_CLOSED, flow, bytes_up, bytes_down, detail);
}

void Audit::Denied(const FlowLabel& flow, absl::string_view detail) {
  ++denied_;
  ++CountersOf(flow).flows;
  Emit(Event::KIND_DENIED, flow, 0, 0, detail);
}

void Audit::Failed(const FlowLabel& flow, absl::string_view detail) {
  Emit(Event::KIND_FAILED, flow, 0, 0, detail);
}

void Audit::Secret(const FlowLabel& flow, absl::string_view name, SecretUse use,
                   absl::string_view detail) {
  Emit(use == SecretUse::kUsed ? Event::KIND_SECRET_USED : Event::KIND_SECRET_WITHHELD, flow, 0, 0,
       detail, name);
}

void Audit::LookedUp(absl::string_view name, absl::string_view type, absl::string_view result,
                     int rule) {
  ++lookups_;
  FlowLabel label;
  label.protocol = Protocol::kUdp;
  label.name = std::string(name);
  label.rule = rule;
  label.policy_version = policy_version_;
  Emit(Event::KIND_DNS, label, 0, 0, absl::StrCat(type, " ", result));
}

void Audit::Emit(Event::Kind kind, const FlowLabel& flow, uint64_t bytes_up, uint64_t bytes_down,
                 absl::string_view detail, absl::string_view secret) {
  if (sink_ == nullptr) return;
  Event event;
  event.set_kind(kind);
  event.set_unix_ns(static_cast<uint64_t>(absl::GetCurrentTimeNanos()));
  event.set_inbound(flow.direction == Direction::kIn);
  event.set_protocol(std::string(ProtocolName(flow.protocol)));
  event.set_source(flow.source);
  event.set_destination(flow.destination);
  event.set_name(flow.name);
  event.set_rule(flow.rule);
  if (flow.policy_version == policy_version_) event.set_rule_text(RuleText(flow.rule));
  event.set_bytes_up(bytes_up);
  event.set_bytes_down(bytes_down);
  event.set_detail(std::string(detail));
  event.set_secret(std::string(secret));
  sink_(event);
}

void Audit::FillStatus(msb::net::v1::Status& status) const {
  msb::net::v1::Policy& policy = *status.mutable_policy();
  policy.set_preset(std::string(PresetName(policy_.preset)));
  for (const Rule& rule : policy_.rules) policy.add_rules(rule.ToString());
  for (const Counters& counters : counters_) {
    msb::net::v1::RuleCounter& entry = *status.add_counters();
    entry.set_flows(counters.flows);
    entry.set_bytes_up(counters.bytes_up);
    entry.set_bytes_down(counters.bytes_down);
  }
  status.set_bytes_up(bytes_up_);
  status.set_bytes_down(bytes_down_);
  status.set_dns_queries(lookups_);
  status.set_denied(denied_);
  status.set_dropped_packets(dropped_);
  status.set_lost_events(lost_);
}

}  // namespace msb::net
