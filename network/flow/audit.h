// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What happened on the network: counters for each rule, and events for those who watch.

#ifndef MSB_NETWORK_FLOW_AUDIT_H_
#define MSB_NETWORK_FLOW_AUDIT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "msb/net/v1/net.pb.h"
#include "network/policy/policy.h"

namespace msb::net {

struct Counters {
  uint64_t flows = 0;
  uint64_t bytes_up = 0;
  uint64_t bytes_down = 0;
};

// Names a flow in events.
struct FlowLabel {
  Direction direction = Direction::kOut;
  Protocol protocol = Protocol::kTcp;
  std::string source;
  std::string destination;
  std::string name;
  int rule = kPresetDecided;
  uint32_t policy_version = 0;  // of `rule`; a newer policy has other rules
};

class Audit {
 public:
  using Sink = std::function<void(const msb::net::v1::Event&)>;

  // The counters begin anew.
  void SetPolicy(const Policy& policy);
  void set_sink(Sink sink) { sink_ = std::move(sink); }
  uint32_t policy_version() const { return policy_version_; }

  void Opened(const FlowLabel& flow);
  void Closed(const FlowLabel& flow, uint64_t bytes_up, uint64_t bytes_down,
              absl::string_view detail);
  void Denied(const FlowLabel& flow, absl::string_view detail);
  void Failed(const FlowLabel& flow, absl::string_view detail);
  enum class SecretUse { kUsed, kWithheld };
  void Secret(const FlowLabel& flow, absl::string_view name, SecretUse use,
              absl::string_view detail);
  void LookedUp(absl::string_view name, absl::string_view type, absl::string_view result, int rule);
  void CountDropped() { ++dropped_; }
  // Events that could not be told.
  void CountLost(uint64_t events) { lost_ += events; }

  void FillStatus(msb::net::v1::Status& status) const;

 private:
  Counters& CountersOf(const FlowLabel& flow);
  void Emit(msb::net::v1::Event::Kind kind, const FlowLabel& flow, uint64_t bytes_up,
            uint64_t bytes_down, absl::string_view detail, absl::string_view secret = "");
  std::string RuleText(int rule) const;

  Sink sink_;
  Policy policy_;
  uint32_t policy_version_ = 0;
  std::vector<Counters> counters_{1};  // one a rule, the preset's last
  Counters stale_;                     // of flows that an older policy let in
  uint64_t bytes_up_ = 0;
  uint64_t bytes_down_ = 0;
  uint64_t lookups_ = 0;
  uint64_t denied_ = 0;
  uint64_t dropped_ = 0;
  uint64_t lost_ = 0;
};

absl::string_view ProtocolName(Protocol protocol);
std::string EndpointText(const IpAddress& address, uint16_t port);

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_AUDIT_H_
