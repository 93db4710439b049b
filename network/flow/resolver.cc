// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/resolver.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb::net {
namespace {

constexpr uint16_t kDnsPort = 53;
constexpr size_t kTcpLengthBytes = 2;
// A member may go at any time.
constexpr uint32_t kMemberTtlSeconds = 5;

uint16_t RandomId() {
  uint16_t id = 0;
  [[maybe_unused]] const ssize_t got = ::getrandom(&id, sizeof(id), 0);
  return id;
}

Bytes AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string WithLength(const std::string& message) {
  std::string framed(kTcpLengthBytes, '\0');
  Store16(static_cast<uint32_t>(message.size()), reinterpret_cast<uint8_t*>(framed.data()));
  return framed + message;
}

}  // namespace

struct Resolver::Lookup {
  std::string query;
  DnsQuery parsed;
  Verdict verdict;
  Transport transport = Transport::kUdp;
  Answer answer;
  UniqueFd socket;
  uint16_t id = 0;  // towards the server
  int attempts = 0;
  EventLoop::TimerId timer{};
  std::string to_send;  // over TCP
  std::string received;
};

// DNS over TCP with the guest.
struct Resolver::Session {
  uint64_t id = 0;
  UniqueFd socket;
  std::string received;
};

Resolver::Resolver(Environment& environment) : environment_(environment) {}

Resolver::~Resolver() {
  for (auto& [key, lookup] : lookups_) Close(*lookup);
  for (auto& [key, session] : sessions_) environment_.loop.Unwatch(session->socket.get());
}

void Resolver::Resolve(Bytes query, Transport transport, Answer answer) {
  std::optional<DnsQuery> parsed = ParseDnsQuery(query);
  if (!parsed.has_value()) {
    environment_.audit.CountDropped();
    return answer("");
  }
  if (AnswerForMembers(query, *parsed, answer)) return;
  const Verdict verdict = EvaluateLookup(environment_.judge.policy(), parsed->name);
  const std::string type = DnsTypeName(parsed->type);
  if (verdict.action == Action::kDeny) {
    environment_.audit.LookedUp(parsed->name, type, "denied", verdict.rule);
    return answer(MakeDnsAnswer(query, *parsed, DnsCode::kNoSuchName));
  }
  // They may carry keys that encrypt the name in TLS, and addresses that no A record has.
  const bool hides =
      parsed->type == kDnsHttps || parsed->type == kDnsSvcb || parsed->type == kDnsAny;
  if (hides && environment_.judge.names_matter()) {
    environment_.audit.LookedUp(parsed->name, type, "withheld", verdict.rule);
    return answer(MakeDnsAnswer(query, *parsed, DnsCode::kOk));
  }
  const bool full = lookups_.size() >= environment_.limits.max_lookups;
  if (full || environment_.dns_servers.empty()) {
    environment_.audit.LookedUp(parsed->name, type, full ? "too many look-ups" : "no server",
                                verdict.rule);
    return answer(MakeDnsAnswer(query, *parsed, DnsCode::kServerFailure));
  }
  auto lookup = std::make_unique<Lookup>();
  lookup->query.assign(query.begin(), query.end());
  lookup->parsed = *std::move(parsed);
  lookup->verdict = verdict;
  lookup->transport = transport;
  lookup->answer = std::move(answer);
  Lookup& started = *lookup;
  lookups_.emplace(lookup.get(), std::move(lookup));
  Ask(started);
}

// Names in private networks: no server but this one knows them.
bool Resolver::AnswerForMembers(Bytes query, const DnsQuery& parsed, const Answer& answer) {
  const Addresses& own = environment_.addresses;
  const auto addresses = environment_.members.Resolve(parsed.name, {own.guest_v4, own.guest_v6});
  if (!addresses.has_value()) return false;
  environment_.audit.LookedUp(parsed.name, DnsTypeName(parsed.type),
                              addresses->empty() ? "no such member" : "a member", kPresetDecided);
  answer(addresses->empty() ? MakeDnsAnswer(query, parsed, DnsCode::kNoSuchName)
                            : MakeDnsAnswerWith(query, parsed, *addresses, kMemberTtlSeconds));
  return true;
}

void Resolver::Ask(Lookup& lookup) {
  Close(lookup);
  const auto servers = static_cast<int>(environment_.dns_servers.size());
  if (lookup.attempts >= std::max(kMaxAttempts, std::min(servers, kMaxAttempts + 1))) {
    return Finish(lookup,
                  MakeDnsAnswer(AsBytes(lookup.query), lookup.parsed, DnsCode::kServerFailure),
                  "no answer");
  }
  lookup.timer = environment_.loop.After(kServerTimeout, [this, &lookup] { Ask(lookup); });
  // A server that cannot even be asked costs no time.
  if (!Open(lookup).ok()) {
    environment_.loop.Cancel(lookup.timer);
    lookup.timer = environment_.loop.After(absl::ZeroDuration(), [this, &lookup] { Ask(lookup); });
  }
}

absl::Status Resolver::Open(Lookup& lookup) {
  const IpAddress& server =
      environment_
          .dns_servers[static_cast<size_t>(lookup.attempts) % environment_.dns_servers.size()];
  ++lookup.attempts;
  const bool tcp = lookup.transport == Transport::kTcp;
  // A fresh port and id for each: both would have to be guessed to forge an answer (RFC 5452).
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall("socket", [&] {
                         return ::socket(
                             server.is_v4() ? AF_INET : AF_INET6,
                             (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                       }));
  lookup.socket = UniqueFd(fd);
  const SocketAddress address = SocketAddress::From(server, kDnsPort);
  if (::connect(fd, address.get(), address.size) != 0 && errno != EINPROGRESS) {
    const absl::Status failed = absl::ErrnoToStatus(errno, "connect");
    lookup.socket.Reset();
    return failed;
  }
  lookup.id = RandomId();
  const std::string query = WithDnsId(AsBytes(lookup.query), lookup.id);
  lookup.received.clear();
  lookup.to_send = tcp ? WithLength(query) : "";
  absl::Status status = environment_.loop.Watch(
      fd, tcp ? EPOLLIN | EPOLLOUT : EPOLLIN,
      [this, &lookup, tcp](uint32_t events) { tcp ? OnTcp(lookup, events) : OnUdp(lookup); });
  if (status.ok() && !tcp && ::send(fd, query.data(), query.size(), MSG_NOSIGNAL) < 0) {
    status = absl::ErrnoToStatus(errno, "send");
    environment_.loop.Unwatch(fd);
  }
  if (!status.ok()) lookup.socket.Reset();
  return status;
}

void Resolver::Close(Lookup& lookup) {
  environment_.loop.Cancel(lookup.timer);
  if (lookup.socket.valid()) environment_.loop.Unwatch(lookup.socket.get());
  lookup.socket.Reset();
}

void Resolver::OnUdp(Lookup& lookup) {
  uint8_t buffer[kMaxDnsMessageBytes];
  const ssize_t got = ::recv(lookup.socket.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got < 0) return Ask(lookup);  // refused: the next server
  TakeAnswer(lookup, {buffer, static_cast<size_t>(got)});
}

void Resolver::OnTcp(Lookup& lookup, uint32_t events) {
  if ((events & EPOLLOUT) != 0 && !lookup.to_send.empty()) {
    const ssize_t sent = ::send(lookup.socket.get(), lookup.to_send.data(), lookup.to_send.size(),
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) return Ask(lookup);
    lookup.to_send.erase(0, sent < 0 ? 0 : static_cast<size_t>(sent));
    if (lookup.to_send.empty() && !environment_.loop.Modify(lookup.socket.get(), EPOLLIN).ok()) {
      return Ask(lookup);
    }
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  char buffer[16384];
  const ssize_t got = ::recv(lookup.socket.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return Ask(lookup);
  lookup.received.append(buffer, static_cast<size_t>(got));
  if (lookup.received.size() < kTcpLengthBytes) return;
  const size_t length = Load16(AsBytes(lookup.received).data());
  if (lookup.received.size() < kTcpLengthBytes + length) return;
  const std::string message = lookup.received.substr(kTcpLengthBytes, length);
  if (!TakeAnswer(lookup, AsBytes(message))) Ask(lookup);
}

bool Resolver::TakeAnswer(Lookup& lookup, Bytes message) {
  const std::optional<DnsAnswer> answer = ParseDnsAnswer(message);
  if (!answer.has_value() || answer->question.id != lookup.id ||
      answer->question.name != lookup.parsed.name || answer->question.type != lookup.parsed.type) {
    return false;  // forged, or late: the true one may still come
  }
  if (answer->code == DnsCode::kServerFailure && lookup.attempts < kMaxAttempts) {
    Ask(lookup);
    return true;
  }
  Finish(lookup, Judged(lookup, *answer, message), "");
  return true;
}

// The answer as the guest may have it. A name that leads to where no rule lets it lead is not given
// out at all: half an answer is what rebinding lives on.
std::string Resolver::Judged(const Lookup& lookup, const DnsAnswer& answer, Bytes message) {
  const std::string type = DnsTypeName(answer.question.type);
  std::vector<std::string> shown;
  for (const IpAddress& address : answer.addresses) {
    if (!environment_.judge.MayAnswerWith(address)) {
      environment_.audit.LookedUp(lookup.parsed.name, type,
                                  absl::StrCat("refused: ", address.ToString()),
                                  lookup.verdict.rule);
      return MakeDnsAnswer(AsBytes(lookup.query), lookup.parsed, DnsCode::kOk);
    }
    if (shown.size() < 4) shown.push_back(address.ToString());
  }
  environment_.judge.pins().Pin(lookup.parsed.name, answer.addresses, answer.ttl, absl::Now());
  std::string result = answer.code == DnsCode::kOk
                           ? absl::StrCat(answer.addresses.size(), " addresses")
                           : absl::StrCat("code ", static_cast<int>(answer.code));
  for (const std::string& address : shown) absl::StrAppend(&result, " ", address);
  environment_.audit.LookedUp(lookup.parsed.name, type, result, lookup.verdict.rule);
  return WithDnsId(message, lookup.parsed.id);
}

void Resolver::Finish(Lookup& lookup, std::string message, absl::string_view result) {
  if (!result.empty()) {
    environment_.audit.LookedUp(lookup.parsed.name, DnsTypeName(lookup.parsed.type), result,
                                lookup.verdict.rule);
  }
  Close(lookup);
  const Answer answer = std::move(lookup.answer);
  lookups_.erase(&lookup);
  answer(std::move(message));
}

// --- DNS over TCP with the guest ---

void Resolver::Serve(UniqueFd socket) {
  if (sessions_.size() >= environment_.limits.max_dns_connections) return;
  auto session = std::make_shared<Session>();
  session->id = next_session_++;
  session->socket = std::move(socket);
  const absl::Status watched = environment_.loop.Watch(
      session->socket.get(), EPOLLIN,
      [this, raw = session.get()](uint32_t events) { OnSession(*raw, events); });
  if (watched.ok()) sessions_.emplace(session->id, std::move(session));
}

void Resolver::OnSession(Session& session, uint32_t) {
  char buffer[16384];
  const ssize_t got = ::recv(session.socket.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    environment_.loop.Unwatch(session.socket.get());
    sessions_.erase(session.id);
    return;
  }
  session.received.append(buffer, static_cast<size_t>(got));
  const uint64_t id = session.id;
  while (session.received.size() >= kTcpLengthBytes) {
    const size_t length = Load16(AsBytes(session.received).data());
    if (session.received.size() < kTcpLengthBytes + length) return;
    const std::string query = session.received.substr(kTcpLengthBytes, length);
    session.received.erase(0, kTcpLengthBytes + length);
    Resolve(AsBytes(query), Transport::kTcp, [this, id](const std::string& answer) {
      const auto found = sessions_.find(id);
      if (found == sessions_.end() || answer.empty()) return;
      // A client that does not read its answers loses them.
      const std::string framed = WithLength(answer);
      [[maybe_unused]] const ssize_t sent = ::send(found->second->socket.get(), framed.data(),
                                                   framed.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    });
  }
}

}  // namespace msb::net
