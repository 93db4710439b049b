// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Passes the guest's look-ups on to the host's name servers, as far as the policy lets it, and
// remembers which names it gave out for which addresses.
//
// Threading: the event loop's.

#ifndef MSB_NETWORK_FLOW_RESOLVER_H_
#define MSB_NETWORK_FLOW_RESOLVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "network/dns/message.h"
#include "network/flow/environment.h"

namespace msb::net {

class Resolver {
 public:
  // Called once with the whole answer; empty: the query was no query, and gets none.
  using Answer = std::function<void(std::string)>;
  enum class Transport { kUdp, kTcp };

  // A server that does not answer: then the next one, then a failure. Programs wait for 5 s.
  static constexpr absl::Duration kServerTimeout = absl::Seconds(2);
  static constexpr int kMaxAttempts = 2;

  explicit Resolver(Environment& environment);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver();

  void Resolve(Bytes query, Transport transport, Answer answer);
  // Serves a guest's DNS over TCP at the other end of `socket` until it is closed.
  void Serve(UniqueFd socket);

 private:
  struct Lookup;
  struct Session;

  // False: the name is not ours.
  bool AnswerForMembers(Bytes query, const DnsQuery& parsed, const Answer& answer);
  void Ask(Lookup& lookup);
  absl::Status Open(Lookup& lookup);
  void OnUdp(Lookup& lookup);
  void OnTcp(Lookup& lookup, uint32_t events);
  void OnTimeout(Lookup& lookup);
  // A message of the server: false when it is none for this look-up.
  bool TakeAnswer(Lookup& lookup, Bytes message);
  std::string Judged(const Lookup& lookup, const DnsAnswer& answer, Bytes message);
  void Finish(Lookup& lookup, std::string message, absl::string_view result);
  void Close(Lookup& lookup);
  void OnSession(Session& session, uint32_t events);

  Environment& environment_;
  absl::flat_hash_map<const Lookup*, std::unique_ptr<Lookup>> lookups_;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Session>> sessions_;
  uint64_t next_session_ = 1;
};

}  // namespace msb::net

#endif  // MSB_NETWORK_FLOW_RESOLVER_H_
