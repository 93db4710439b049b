// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Words that describe a network: "127.0.0.1:8080:80/udp", and rules without their first word.

#ifndef MSB_SDKS_MSBCTL_PORT_ARGUMENT_H_
#define MSB_SDKS_MSBCTL_PORT_ARGUMENT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/repeated_field.h"
#include "msb/v1/network.pb.h"

namespace msb {

// [ADDRESS:]HOST:GUEST[/tcp|/udp]; an IPv6 address stands in brackets. kInvalidArgument.
absl::StatusOr<msb::v1::PublishedPort> ParsePort(absl::string_view text);

// The deny rules first, so that neither has to be told to come before the other.
void AddRules(const std::vector<std::string>& deny, const std::vector<std::string>& allow,
              google::protobuf::RepeatedPtrField<msb::v1::NetworkRule>& rules);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_PORT_ARGUMENT_H_
