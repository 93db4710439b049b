// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

constexpr char kInterface[] = "eth0";

sockaddr Ipv4Socket(in_addr address) {
  sockaddr_in socket{};
  socket.sin_family = AF_INET;
  socket.sin_addr = address;
  sockaddr generic{};
  std::memcpy(&generic, &socket, sizeof(generic));
  return generic;
}

ifreq Request(const char* interface) {
  ifreq request{};
  std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  return request;
}

absl::Status Failed(absl::string_view step) {
  return ErrnoError(Reason::kSandboxStartFailed, absl::StrCat("network: ", step), errno);
}

absl::Status BringUp(const UniqueFd& socket, const char* interface) {
  ifreq request = Request(interface);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return Failed(interface);
  return absl::OkStatus();
}

absl::Status AddDefaultRoute(const UniqueFd& socket, const std::string& gateway) {
  in_addr address{};
  if (::inet_pton(AF_INET, gateway.c_str(), &address) != 1) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat(gateway, " is no IPv4 address"));
  }
  rtentry route{};
  route.rt_dst = Ipv4Socket({});
  route.rt_genmask = Ipv4Socket({});
  route.rt_gateway = Ipv4Socket(address);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  if (::ioctl(socket.get(), SIOCADDRT, &route) != 0) return Failed("default route");
  return absl::OkStatus();
}

void WriteSetting(const char* path, absl::string_view value) {
  const UniqueFd file(::open(path, O_WRONLY | O_CLOEXEC));
  [[maybe_unused]] const ssize_t written = ::write(file.get(), value.data(), value.size());
}

// linux/ipv6.h's, which cannot be included beside netinet/in.h.
struct Ipv6Request {
  in6_addr address;
  uint32_t prefix;
  int interface;
};

// Nobody else is on the wire: no search for a second owner of an address, which takes a second, and
// no router that would tell another one.
void QuietIpv6() {
  WriteSetting("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0");
  WriteSetting("/proc/sys/net/ipv6/conf/eth0/dad_transmits", "0");
  WriteSetting("/proc/sys/net/ipv6/conf/eth0/accept_ra", "0");
  WriteSetting("/proc/sys/net/ipv6/conf/eth0/router_solicitations", "0");
}

absl::Status SetUpIpv6(const BootParameters& parameters) {
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(parameters.address6, absl::MaxSplits('/', 1));
  Ipv6Request request{};
  request.interface = static_cast<int>(::if_nametoindex(kInterface));
  if (::inet_pton(AF_INET6, parts.first.c_str(), &request.address) != 1 ||
      !absl::SimpleAtoi(parts.second, &request.prefix) || request.prefix > 128) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat(parameters.address6, " is no IPv6 address/prefix"));
  }
  const UniqueFd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Failed("IPv6 socket");
  if (::ioctl(socket.get(), SIOCSIFADDR, &request) != 0) return Failed("IPv6 address of eth0");
  if (parameters.gateway6.empty()) return absl::OkStatus();
  in6_rtmsg route{};
  if (::inet_pton(AF_INET6, parameters.gateway6.c_str(), &route.rtmsg_gateway) != 1) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat(parameters.gateway6, " is no IPv6 address"));
  }
  route.rtmsg_metric = 1;
  route.rtmsg_flags = RTF_UP | RTF_GATEWAY;
  route.rtmsg_ifindex = request.interface;
  if (::ioctl(socket.get(), SIOCADDRT, &route) != 0) return Failed("IPv6 default route");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Ipv4Network> ParseIpv4Network(absl::string_view text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('/', 1));
  Ipv4Network network{};
  uint32_t prefix = 0;
  if (::inet_pton(AF_INET, parts.first.c_str(), &network.address) != 1 ||
      !absl::SimpleAtoi(parts.second, &prefix) || prefix > 32) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat(text, " is no IPv4 address/prefix"));
  }
  network.netmask.s_addr = htonl(prefix == 0 ? 0 : ~uint32_t{0} << (32 - prefix));
  return network;
}

absl::Status BringUpLoopback() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Failed("socket");
  return BringUp(socket, "lo");
}

absl::Status SetUpNetwork(const BootParameters& parameters) {
  if (parameters.address.empty()) return absl::OkStatus();
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Failed("socket");
  MSB_ASSIGN_OR_RETURN(const Ipv4Network network, ParseIpv4Network(parameters.address));
  ifreq request = Request(kInterface);
  request.ifr_addr = Ipv4Socket(network.address);
  if (::ioctl(socket.get(), SIOCSIFADDR, &request) != 0) return Failed("address of eth0");
  request.ifr_netmask = Ipv4Socket(network.netmask);
  if (::ioctl(socket.get(), SIOCSIFNETMASK, &request) != 0) return Failed("netmask of eth0");
  QuietIpv6();
  MSB_RETURN_IF_ERROR(BringUp(socket, kInterface));
  if (!parameters.gateway.empty()) {
    MSB_RETURN_IF_ERROR(AddDefaultRoute(socket, parameters.gateway));
  }
  return parameters.address6.empty() ? absl::OkStatus() : SetUpIpv6(parameters);
}

}  // namespace msb
