// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The processes of a sandbox's network, from the moment that they serve: msb-net, which opens
// connections and no file, and msb-secrets, which opens nothing.

#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "jailer/policy/rule.h"

namespace msb {
namespace {

// Without the flags that go with a type.
constexpr ArgumentCheck SocketType(uint64_t type) { return {1, 0xf, type}; }
constexpr ArgumentChecks InternetSocket(uint64_t family, uint64_t type, uint64_t protocol) {
  return {ArgumentIs(0, family), SocketType(type), ArgumentIs(2, protocol)};
}

constexpr Rule kBoth[] = {
    {"epoll_wait", "waits for the next event"},
    {"epoll_ctl", "connections come and go"},
    {"accept4", "the daemon's requests; clients of published ports"},
    {"recvfrom", "the guest's and the host's bytes"},
    {"sendto", "the same"},
    {"recvmsg", "requests that come with descriptors, and frames"},
    {"sendmsg", "connections that are handed over, and frames"},
    {"shutdown", "one direction of a connection has ended"},
    {"fcntl", "a descriptor that was handed over must not block", ArgumentIs(1, F_SETFL)},
    {"getrandom", "sequence numbers, look-ups' ids, keys"},
};

constexpr Rule kNetAlone[] = {
    {"socket", "TCP of the guest's", InternetSocket(AF_INET, SOCK_STREAM, 0)},
    {"socket", "the same", InternetSocket(AF_INET6, SOCK_STREAM, 0)},
    {"socket", "UDP of the guest's", InternetSocket(AF_INET, SOCK_DGRAM, 0)},
    {"socket", "the same", InternetSocket(AF_INET6, SOCK_DGRAM, 0)},
    {"socket", "its echo requests", InternetSocket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)},
    {"socket", "the same", InternetSocket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6)},
    {"socket",
     "asks the kernel for the host's addresses, which the policy knows",
     {ArgumentIs(0, AF_NETLINK), ArgumentIs(2, NETLINK_ROUTE)}},
    {"bind", "the C library, before it asks for addresses"},
    {"getsockname", "the same"},
    {"connect", "where the policy lets the guest go"},
    // No datagrams: an end of such a pair could send to any name of the host's.
    {"socketpair",
     "DNS over TCP, connections that are handed over, other members of a network",
     {ArgumentIs(0, AF_UNIX), SocketType(SOCK_STREAM)}},
    {"socketpair",
     "UDP to other members of a network",
     {ArgumentIs(0, AF_UNIX), SocketType(SOCK_SEQPACKET)}},
    {"setsockopt", "no delay; a reset at the end"},
    {"getsockopt", "whether a connection was made"},
    {"readv", "frames of the guest's"},
    {"getuid", "the C library, before it asks for addresses"},
};

constexpr Rule kSecretsAlone[] = {
    {"mlock", "values stay out of swap"},
};

}  // namespace

const RuleSet kNetworkRules = kBoth;
const RuleSet kNetRules = kNetAlone;
const RuleSet kSecretsRules = kSecretsAlone;

}  // namespace msb
