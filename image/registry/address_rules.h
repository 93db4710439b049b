// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Where a registry may send us.
//
// A registry names further hosts: where its tokens are (realm), where its blobs are (redirects). It
// must not thereby reach what it could not reach by itself, with this host as its hand: a service
// on loopback, a neighbour in the private network, a cloud's metadata. So an address that somebody
// else than the caller has named must be no nearer to us than the endpoint that the caller has
// chosen; and link-local addresses, where metadata services live, are never connected to.
//
// Decided on the address that is connected to, not on a name: a name may lead elsewhere a second
// later.

#ifndef MSB_IMAGE_REGISTRY_ADDRESS_RULES_H_
#define MSB_IMAGE_REGISTRY_ADDRESS_RULES_H_

#include <sys/socket.h>

#include <string>

namespace msb::image {

// In the order of nearness.
enum class Reach {
  kPublic,
  kPrivate,   // RFC 1918, 6598, 4193
  kLoopback,  // also 0.0.0.0 and ::, which Linux connects to loopback
  kForbidden  // link-local, multicast, broadcast, metadata services elsewhere
};

// kForbidden for a family other than IPv4 and IPv6.
Reach ReachOf(const sockaddr& address);

// Whether what lies within `endpoint` may lead to `address`.
inline bool MayConnect(Reach endpoint, Reach address) {
  return address != Reach::kForbidden && address <= endpoint;
}

// "127.0.0.1"
std::string NumericName(const sockaddr& address);

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_ADDRESS_RULES_H_
