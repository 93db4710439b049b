// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What one guest may use of the host. Each has a default that suits a sandbox and can be set in
// NetSpec.limits.

#ifndef MSB_NETWORK_FLOW_LIMITS_H_
#define MSB_NETWORK_FLOW_LIMITS_H_

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace msb::net {

struct FlowLimits {
  // TCP connections, UDP flows and ids of echo requests at once; a socket each.
  uint32_t max_flows = 8192;
  // Of those, TCP connections that are not established: the bound of a SYN flood.
  uint32_t max_connecting = 1024;
  // Look-ups that wait for a name server, and connections of the guest's for DNS over TCP.
  uint32_t max_lookups = 512;
  uint32_t max_dns_connections = 64;
  // Other members of private networks.
  uint32_t max_members = 256;
  uint64_t bytes_per_second_up = 0;  // 0: no limit
  uint64_t bytes_per_second_down = 0;
  uint32_t packets_per_second = 0;
  absl::Duration tcp_idle = absl::Hours(2);  // RFC 5382, REQ-5: 2 h 4 min
  absl::Duration half_closed_idle = absl::Minutes(10);
  absl::Duration connect_timeout = absl::Seconds(60);
  absl::Duration udp_idle = absl::Minutes(2);        // RFC 4787, REQ-5
  absl::Duration hello_timeout = absl::Seconds(10);  // from the first byte of TLS to its name
};

// Lowers max_flows to what `descriptors` leave beside all that is no flow, so that a guest with as
// many as it may have does not keep the daemon from being heard.
inline void FitFlows(uint64_t descriptors, FlowLimits& limits) {
  constexpr uint64_t kOthers = 256;  // the link, the daemon's requests, published ports
  constexpr uint64_t kFewest = 16;
  const uint64_t taken =
      uint64_t{limits.max_lookups} + limits.max_dns_connections + limits.max_members + kOthers;
  const uint64_t left = descriptors > taken ? descriptors - taken : 0;
  limits.max_flows =
      static_cast<uint32_t>(std::min<uint64_t>(limits.max_flows, std::max(left, kFewest)));
}

// A rate. What was taken may exceed what is there: then nothing more is given until it is paid for.
class TokenBucket {
 public:
  // 0: no limit. A tenth of a second's worth may come at once.
  explicit TokenBucket(uint64_t per_second)
      : per_second_(static_cast<double>(per_second)), tokens_(per_second_ / 10) {}

  void Take(uint64_t tokens, absl::Time now) {
    if (per_second_ == 0) return;
    Refill(now);
    tokens_ -= static_cast<double>(tokens);
  }
  // Until something may be taken again; zero: now.
  absl::Duration Wait(absl::Time now) {
    if (per_second_ == 0) return absl::ZeroDuration();
    Refill(now);
    return tokens_ >= 0 ? absl::ZeroDuration() : absl::Seconds(-tokens_ / per_second_);
  }

 private:
  void Refill(absl::Time now) {
    const double seconds = absl::ToDoubleSeconds(now - last_);
    last_ = now;
    // The first call, and a clock that was set back.
    if (seconds < 0 || seconds > 1e6) return;
    tokens_ = std::min(tokens_ + seconds * per_second_, per_second_ / 10);
  }

  double per_second_;
  double tokens_;
  absl::Time last_ = absl::InfinitePast();
};

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_LIMITS_H_
