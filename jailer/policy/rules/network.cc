// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The processes of a sandbox's network, from the moment that they serve: msb-net, which opens
// connections and no file, and msb-secrets, which opens nothing.

#include <fcntl.h>
#include <sys/socket.h>

#include "jailer/policy/rule.h"

namespace msb {
namespace {

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
    {"socket", "a connection of the guest's", ArgumentIs(0, AF_INET)},
    {"socket", "the same", ArgumentIs(0, AF_INET6)},
    {"socket", "asks the kernel for the host's addresses, which the policy knows",
     ArgumentIs(0, AF_NETLINK)},
    {"bind", "the C library, before it asks for addresses"},
    {"getsockname", "the same"},
    {"connect", "where the policy lets the guest go"},
    {"socketpair", "DNS over TCP, connections that are handed over, other members of a network",
     ArgumentIs(0, AF_UNIX)},
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
