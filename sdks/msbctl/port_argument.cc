// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/port_argument.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"

namespace msb {
namespace {

constexpr uint32_t kMaxPort = 65535;

}  // namespace

absl::StatusOr<msb::v1::PublishedPort> ParsePort(absl::string_view text) {
  const absl::Status wrong = MakeError(
      Reason::kInvalidArgument, absl::StrCat("'", text, "' is no [ADDRESS:]HOST:GUEST[/udp]"));
  msb::v1::PublishedPort port;
  absl::string_view rest = text;
  port.set_protocol(absl::ConsumeSuffix(&rest, "/udp") ? msb::v1::PublishedPort::PROTOCOL_UDP
                                                       : msb::v1::PublishedPort::PROTOCOL_TCP);
  absl::ConsumeSuffix(&rest, "/tcp");
  const size_t last = rest.rfind(':');
  if (last == absl::string_view::npos) return wrong;
  uint32_t guest = 0;
  uint32_t host = 0;
  if (!absl::SimpleAtoi(rest.substr(last + 1), &guest) || guest > kMaxPort) return wrong;
  rest = rest.substr(0, last);
  const size_t before = rest.rfind(':');
  const absl::string_view host_text =
      before == absl::string_view::npos ? rest : rest.substr(before + 1);
  if (!absl::SimpleAtoi(host_text, &host) || host > kMaxPort) return wrong;
  if (before != absl::string_view::npos) {
    absl::string_view address = rest.substr(0, before);
    if (absl::ConsumePrefix(&address, "[") && !absl::ConsumeSuffix(&address, "]")) return wrong;
    port.set_host_address(std::string(address));
  }
  port.set_host_port(host);
  port.set_guest_port(guest);
  return port;
}

void AddRules(const std::vector<std::string>& deny, const std::vector<std::string>& allow,
              google::protobuf::RepeatedPtrField<msb::v1::NetworkRule>& rules) {
  for (const std::string& rule : deny) rules.Add()->set_text(absl::StrCat("deny ", rule));
  for (const std::string& rule : allow) rules.Add()->set_text(absl::StrCat("allow ", rule));
}

}  // namespace msb
