// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/secrets_link.h"

#include <sys/epoll.h>

#include <algorithm>

#include "base/descriptors.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "msb/net/v1/secrets.pb.h"

namespace msb::net {
namespace {

constexpr size_t kMaxNoticeBytes = 1024;
constexpr int kNoticesPerTurn = 64;
constexpr size_t kEndedFlowsKept = 1024;

}  // namespace

SecretsLink::~SecretsLink() {
  if (channel_.valid()) loop_.Unwatch(channel_.get());
}

absl::Status SecretsLink::Set(const msb::net::v1::SecretHosts& hosts) {
  std::vector<SecretHost> parsed;
  for (const std::string& text : hosts.hosts()) {
    MSB_ASSIGN_OR_RETURN(SecretHost host, ParseSecretHost(text));
    parsed.push_back(std::move(host));
  }
  hosts_ = std::move(parsed);
  placeholders_.clear();
  for (const auto& entry : hosts.placeholders()) {
    placeholders_.emplace_back(entry.placeholder(), entry.name());
  }
  return absl::OkStatus();
}

absl::Status SecretsLink::Connect(UniqueFd socket) {
  if (channel_.valid()) loop_.Unwatch(channel_.get());
  flows_.clear();  // what is said of them comes on the socket that goes
  ended_.clear();
  channel_ = std::move(socket);
  return loop_.Watch(channel_.get(), EPOLLIN, [this](uint32_t) { OnNotices(); });
}

bool SecretsLink::UsesPort(uint16_t port) const {
  return std::any_of(hosts_.begin(), hosts_.end(),
                     [port](const SecretHost& host) { return host.port == port; });
}

bool SecretsLink::Serves(absl::string_view name, uint16_t port) const {
  return std::any_of(hosts_.begin(), hosts_.end(),
                     [&](const SecretHost& host) { return host.Matches(name, port); });
}

absl::StatusOr<uint64_t> SecretsLink::HandOver(Flow flow, int guest_end, int upstream) {
  if (!channel_.valid()) {
    return absl::UnavailableError(
        "the process that holds the secrets is not there: msbctl net restart");
  }
  msb::net::v1::HandOver packet;
  packet.set_flow(next_number_);
  packet.set_name(flow.name);
  packet.set_port(flow.port);
  MSB_RETURN_IF_ERROR(
      SendWithDescriptors(channel_.get(), packet.SerializeAsString(), {guest_end, upstream}));
  flows_.emplace(next_number_, std::move(flow.label));
  return next_number_++;
}

void SecretsLink::Forget(uint64_t number) {
  ended_.push_back(number);
  if (ended_.size() <= kEndedFlowsKept) return;
  flows_.erase(ended_.front());
  ended_.pop_front();
}

void SecretsLink::OnNotices() {
  using msb::net::v1::SecretNotice;
  for (int i = 0; i < kNoticesPerTurn; ++i) {
    std::string packet(kMaxNoticeBytes, '\0');
    std::vector<UniqueFd> unwanted;
    const absl::StatusOr<size_t> got = ReceiveWithDescriptors(channel_.get(), packet, unwanted);
    if (!got.ok()) {
      MSB_LOG(kWarning) << "msb-secrets has ended; what secrets may go to is refused";
      loop_.Unwatch(channel_.get());
      channel_.Reset();
      return;
    }
    if (*got == 0) return;
    SecretNotice notice;
    if (!notice.ParseFromArray(packet.data(), static_cast<int>(*got))) continue;
    audit_.CountLost(notice.lost());
    if (notice.kind() == SecretNotice::KIND_UNSPECIFIED) continue;
    const auto flow = flows_.find(notice.flow());
    if (flow == flows_.end()) {
      audit_.CountLost(1);  // of a connection that ended too long ago
      continue;
    }
    if (notice.kind() == SecretNotice::KIND_FAILED) {
      audit_.Failed(flow->second, notice.detail());
    } else {
      audit_.Secret(flow->second, notice.secret(),
                    notice.kind() == SecretNotice::KIND_USED ? Audit::SecretUse::kUsed
                                                             : Audit::SecretUse::kWithheld,
                    notice.detail());
    }
  }
}

std::vector<std::string> SecretsLink::PlaceholdersIn(absl::string_view bytes) const {
  std::vector<std::string> names;
  for (size_t at = bytes.find(kPlaceholderPrefix); at != absl::string_view::npos;
       at = bytes.find(kPlaceholderPrefix, at + 1)) {
    for (const auto& [placeholder, name] : placeholders_) {
      if (bytes.substr(at, kPlaceholderBytes) == placeholder) names.push_back(name);
    }
  }
  return names;
}

}  // namespace msb::net
