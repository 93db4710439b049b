// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a NetSpec says, checked.

#ifndef MSB_NETWORK_CONTROL_SPEC_H_
#define MSB_NETWORK_CONTROL_SPEC_H_

#include <memory>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "msb/net/v1/net.pb.h"
#include "network/flow/environment.h"

namespace msb::net {

inline constexpr uint32_t kMinMtu = 1280;
inline constexpr uint32_t kMaxMtu = 65520;
// The gateway's address on the link: ours alone, so it may be any.
inline constexpr Mac kGatewayMac = {0x02, 'm', 's', 'b', 0, 1};

// The environment without its link, with its policy set and the host's addresses known, without
// which no policy holds. kInvalidArgument with the field's name.
absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(EventLoop& loop,
                                                             const msb::net::v1::NetSpec& spec);

}  // namespace msb::net

#endif  // MSB_NETWORK_CONTROL_SPEC_H_
