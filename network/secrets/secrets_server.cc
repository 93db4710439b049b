// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/secrets/secrets_server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/log.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "network/policy/rule.h"

namespace msb::net {

using msb::net::v1::HandOver;
using msb::net::v1::SecretNotice;
using msb::net::v1::SecretsRequest;
using msb::net::v1::SecretsResponse;

namespace {

constexpr size_t kMaxDescriptorsHeld = 4;
constexpr size_t kMaxHandOverBytes = 1024;
constexpr int kHandOversPerTurn = 32;

}  // namespace

SecretsResponse Refusal(const absl::Status& why) {
  SecretsResponse response;
  response.mutable_error()->set_reason(static_cast<int>(ReasonOf(why)));
  response.mutable_error()->set_message(std::string(why.message()));
  return response;
}

SecretsServer::SecretsServer(EventLoop& loop, const Relay::Tls& tls, const SecretsLimits& limits,
                             UniqueFd listener)
    : loop_(loop),
      tls_(tls),
      limits_(limits),
      listener_(std::move(listener)),
      acceptor_(loop, "control", listener_.get(), [this](UniqueFd client, const Acceptor::Peer&) {
        OnConnected(std::move(client));
      }) {}

SecretsServer::~SecretsServer() {
  loop_.Cancel(bury_timer_);
  if (channel_.valid()) loop_.Unwatch(channel_.get());
  for (const auto& client : clients_) loop_.Unwatch(client->socket.get());
}

absl::Status SecretsServer::Start() { return acceptor_.Start(); }

// --- the daemon ---

void SecretsServer::OnConnected(UniqueFd socket) {
  if (clients_.size() >= kMaxClients) return;
  auto client = std::make_unique<Client>();
  client->socket = std::move(socket);
  const absl::Status watched = loop_.Watch(
      client->socket.get(), EPOLLIN, [this, raw = client.get()](uint32_t) { OnClient(*raw); });
  if (watched.ok()) clients_.push_back(std::move(client));
}

void SecretsServer::OnClient(Client& client) {
  const absl::Status status = Receive(client);
  if (status.ok()) return;
  if (!absl::IsUnavailable(status)) {
    MSB_LOG(kWarning) << "control: " << EscapeForLog(status.message());
  }
  loop_.Unwatch(client.socket.get());
  const auto found = std::find_if(clients_.begin(), clients_.end(),
                                  [&](const auto& known) { return known.get() == &client; });
  if (found != clients_.end()) clients_.erase(found);
}

absl::Status SecretsServer::Receive(Client& client) {
  std::string bytes(16384, '\0');
  MSB_ASSIGN_OR_RETURN(const size_t got,
                       ReceiveWithDescriptors(client.socket.get(), bytes, client.descriptors));
  if (client.descriptors.size() > kMaxDescriptorsHeld) {
    return MakeError(Reason::kFrameMalformed, "descriptors that no frame wants");
  }
  client.reader.Append(absl::string_view(bytes).substr(0, got));
  Wipe(bytes);
  while (true) {
    MSB_ASSIGN_OR_RETURN(const auto frame, client.reader.Next());
    if (!frame.has_value()) return absl::OkStatus();
    SecretsRequest request;
    const bool parsed = request.ParseFromArray(frame->data(), static_cast<int>(frame->size()));
    // The reader's copy, which is ours: it would stay until further frames have come.
    ::explicit_bzero(const_cast<char*>(frame->data()), frame->size());
    if (!parsed) return MakeError(Reason::kFrameMalformed, "no SecretsRequest");
    absl::StatusOr<SecretsResponse> response = Carry(client, request);
    if (!response.ok()) response = Refusal(response.status());
    std::string answer;
    AppendFrame(response->SerializeAsString(), answer);
    // Answers are small and one at a time: a daemon that does not read them is none.
    const ssize_t sent =
        ::send(client.socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != static_cast<ssize_t>(answer.size())) {
      return absl::UnavailableError("an answer that nobody takes");
    }
  }
}

absl::StatusOr<SecretsResponse> SecretsServer::Carry(Client& client, SecretsRequest& request) {
  SecretsResponse response;
  switch (request.request_case()) {
    case SecretsRequest::kSet: {
      MSB_ASSIGN_OR_RETURN(table_, SecretTable::Take(*request.mutable_set(), *table_));
      break;
    }
    case SecretsRequest::kConnect: {
      if (client.descriptors.empty()) {
        return MakeError(Reason::kFrameMalformed, "connect without a socket");
      }
      UniqueFd socket = std::move(client.descriptors.front());
      client.descriptors.erase(client.descriptors.begin());
      MSB_RETURN_IF_ERROR(Connect(std::move(socket)));
      break;
    }
    case SecretsRequest::kCertificate:
      response.set_certificate(tls_.authority.certificate_pem());
      return response;
    case SecretsRequest::REQUEST_NOT_SET:
      return MakeError(Reason::kFrameMalformed, "a request that this version does not know");
  }
  response.mutable_ok();
  return response;
}

absl::Status SecretsServer::Connect(UniqueFd socket) {
  if (channel_.valid()) loop_.Unwatch(channel_.get());
  channel_ = std::move(socket);
  waits_for_room_ = false;
  MSB_RETURN_IF_ERROR(loop_.Watch(channel_.get(), EPOLLIN, [this](uint32_t events) {
    if ((events & EPOLLOUT) != 0 && lost_notices_ > 0) Tell(SecretNotice());
    if ((events & ~uint32_t{EPOLLOUT}) != 0) OnHandOvers();
  }));
  if (lost_notices_ > 0) Tell(SecretNotice());
  return absl::OkStatus();
}

// --- msb-net ---

void SecretsServer::OnHandOvers() {
  for (int i = 0; i < kHandOversPerTurn; ++i) {
    std::string packet(kMaxHandOverBytes, '\0');
    std::vector<UniqueFd> descriptors;
    const absl::StatusOr<size_t> got = ReceiveWithDescriptors(channel_.get(), packet, descriptors);
    if (!got.ok()) {
      // It is started again, and then connected anew.
      loop_.Unwatch(channel_.get());
      channel_.Reset();
      return;
    }
    if (*got == 0) return;
    HandOver hand_over;
    if (!hand_over.ParseFromArray(packet.data(), static_cast<int>(*got)) ||
        descriptors.size() != 2) {
      MSB_LOG(kWarning) << "a packet of msb-net's that hands nothing over";
      continue;
    }
    Begin(hand_over, {std::move(descriptors[0]), std::move(descriptors[1])});
  }
}

void SecretsServer::Begin(const HandOver& hand_over, Relay::Sockets sockets) {
  const uint64_t flow = hand_over.flow();
  const std::optional<std::string> name = NormalizeName(hand_over.name());
  const auto port = static_cast<uint16_t>(hand_over.port());
  const auto fail = [&](absl::string_view why) {
    Notify(flow, SecretNotice::KIND_FAILED, "", why);
  };
  if (!name.has_value() || hand_over.port() > UINT16_MAX || !table_->Serves(*name, port)) {
    return fail("no secret may go there");
  }
  if (relays_.size() >= limits_.max_connections) {
    return fail("too many connections with secrets ([secrets] max_connections)");
  }
  for (const UniqueFd* socket : {&sockets.guest, &sockets.upstream}) {
    if (::fcntl(socket->get(), F_SETFL, O_NONBLOCK) != 0) return fail("no socket");
  }
  const uint64_t key = next_key_++;
  auto relay = std::make_unique<Relay>(
      loop_, tls_, limits_, RelayHost{*name, port}, table_, std::move(sockets),
      Relay::Handlers{.on_used =
                          [this, flow](const Substitute& secret) {
                            Notify(flow, SecretNotice::KIND_USED, secret.name, "");
                          },
                      .on_withheld =
                          [this, flow](const Substitute& secret, absl::string_view why) {
                            Notify(flow, SecretNotice::KIND_WITHHELD, secret.name, why);
                          },
                      .on_failed =
                          [this, flow](absl::string_view why) {
                            Notify(flow, SecretNotice::KIND_FAILED, "", why);
                          },
                      .on_done = [this, key] { Bury(key); }});
  if (const absl::Status status = relay->Start(); !status.ok()) return fail(status.message());
  relays_.emplace(key, std::move(relay));
}

void SecretsServer::Notify(uint64_t flow, SecretNotice::Kind kind, absl::string_view secret,
                           absl::string_view detail) {
  SecretNotice notice;
  notice.set_flow(flow);
  notice.set_kind(kind);
  notice.set_secret(std::string(secret));
  notice.set_detail(std::string(detail.substr(0, 512)));
  if (!Tell(std::move(notice))) ++lost_notices_;
}

// One that finds no room is lost, as an event may be, and counted: as soon as there is room the
// number of those is told.
bool SecretsServer::Tell(SecretNotice notice) {
  if (!channel_.valid()) return false;
  notice.set_lost(lost_notices_);
  const std::string bytes = notice.SerializeAsString();
  const bool told =
      ::send(channel_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
  if (told) lost_notices_ = 0;
  if (told != waits_for_room_) return told;
  waits_for_room_ = !told;
  const absl::Status watched =
      loop_.Modify(channel_.get(), EPOLLIN | (told ? uint32_t{0} : uint32_t{EPOLLOUT}));
  if (!watched.ok()) {
    MSB_LOG(kWarning) << "msb-net's socket: " << watched.message();
  }
  return told;
}

void SecretsServer::Bury(uint64_t key) {
  const auto found = relays_.find(key);
  if (found == relays_.end()) return;
  buried_.push_back(std::move(found->second));
  relays_.erase(found);
  if (buried_.size() > 1) return;
  bury_timer_ = loop_.After(absl::ZeroDuration(), [this] { buried_.clear(); });
}

}  // namespace msb::net
