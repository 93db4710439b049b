// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Sandbox: its network while it runs.

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/sandbox/lifecycle.h"
#include "supervisor/sandbox/network.h"
#include "supervisor/sandbox/private_networks.h"
#include "supervisor/sandbox/sandbox.h"
#include "supervisor/sandbox/secrets.h"

namespace msb {
namespace {

using msb::v1::PublishedPort;
using NetworkResponse = absl::StatusOr<msb::net::v1::ControlResponse>;

bool SamePort(const PublishedPort& wanted, const PublishedPort& known) {
  const uint32_t port = wanted.bound_port() != 0 ? wanted.bound_port() : wanted.host_port();
  return wanted.protocol() == known.protocol() && wanted.host_address() == known.host_address() &&
         (port == known.host_port() || port == known.bound_port());
}

}  // namespace

std::string Sandbox::NetworkSocket() const {
  return PathsOf(plan_, kNetworkCompanion).control_socket;
}

absl::StatusOr<bool> Sandbox::NetworkRuns() const {
  if (IsAtRest(state())) return false;
  if (state() != msb::v1::SANDBOX_STATE_RUNNING && state() != msb::v1::SANDBOX_STATE_PAUSED) {
    return NotNow("change the network of");
  }
  if (::access(NetworkSocket().c_str(), F_OK) != 0) {
    return MakeError(Reason::kSandboxWrongState,
                     HasCard(record_.spec.network())
                         ? "the sandbox's network process has ended: msbctl net restart"
                         : "the sandbox was started without a network card (none, and nothing "
                           "allowed): it gets one at its next start");
  }
  return true;
}

// Runs `ask` on a worker, then `done` with its answer on the loop.
void Sandbox::AskNetworkThen(msb::net::v1::ControlRequest request,
                             std::function<void(Sandbox&, NetworkResponse)> done) {
  RunBlocking(
      [socket = NetworkSocket(), timeout = context_.config.agent.request_timeout,
       request = std::move(request)] { return AskNetwork(socket, request, /*fd=*/-1, timeout); },
      std::move(done));
}

void Sandbox::UpdateNetwork(msb::v1::Network network, Done done) {
  InTurn(std::move(done), [this, network = std::move(network)](Done turned) {
    UpdateNetworkNow(network, std::move(turned));
  });
}

void Sandbox::UpdateNetworkNow(msb::v1::Network network, Done done) {
  if (network.preset().empty()) network.set_preset(record_.spec.network().preset());
  if (absl::Status status = CompleteNetwork(context_.config.network, network); !status.ok()) {
    return done(std::move(status));
  }
  const absl::StatusOr<bool> runs = NetworkRuns();
  // What will hold at the next start is kept even where nothing can change now.
  const auto keep = [network](Sandbox& self) {
    msb::v1::Network& kept = *self.record_.spec.mutable_network();
    kept.set_preset(network.preset());
    *kept.mutable_rules() = network.rules();
    return self.Journal();
  };
  if (!runs.ok()) return done(runs.status());
  if (!*runs) return done(keep(*this));
  msb::net::v1::ControlRequest request;
  *request.mutable_set_policy() = PolicyOf(network);
  AskNetworkThen(std::move(request),
                 [keep, done = std::move(done)](Sandbox& self, const NetworkResponse& response) {
                   done(response.ok() ? keep(self) : response.status());
                 });
}

void Sandbox::PublishPort(PublishedPort port,
                          std::function<void(absl::StatusOr<PublishedPort>)> done) {
  InTurn(std::move(done),
         [this, port = std::move(port)](std::function<void(absl::StatusOr<PublishedPort>)> turned) {
           PublishPortNow(port, std::move(turned));
         });
}

void Sandbox::PublishPortNow(PublishedPort port,
                             std::function<void(absl::StatusOr<PublishedPort>)> done) {
  absl::Status status = CompletePort(port);
  const int ports = record_.spec.network().ports_size() + 1;
  status.Update(CheckPortCount(context_.config.network, ports));
  const absl::StatusOr<bool> runs = status.ok() ? NetworkRuns() : status;
  if (!runs.ok()) return done(runs.status());
  if (!*runs) {
    *record_.spec.mutable_network()->add_ports() = port;
    status = Journal();
    return status.ok() ? done(port) : done(status);
  }
  RunBlocking(
      [socket = NetworkSocket(), timeout = context_.config.agent.request_timeout, port] {
        return PublishOnHost(socket, port, timeout);
      },
      [port, done = std::move(done)](Sandbox& self, absl::StatusOr<uint32_t> bound) mutable {
        if (!bound.ok()) return done(bound.status());
        port.set_bound_port(*bound);
        *self.record_.spec.mutable_network()->add_ports() = port;
        const absl::Status kept = self.Journal();
        kept.ok() ? done(port) : done(kept);
      });
}

void Sandbox::UnpublishPort(PublishedPort port, Done done) {
  InTurn(std::move(done), [this, port = std::move(port)](Done turned) {
    UnpublishPortNow(port, std::move(turned));
  });
}

void Sandbox::UnpublishPortNow(PublishedPort port, Done done) {
  const uint32_t bound = port.bound_port();
  if (port.guest_port() == 0) port.set_guest_port(1);  // not asked for
  if (absl::Status status = CompletePort(port); !status.ok()) return done(std::move(status));
  port.set_bound_port(bound);
  auto& ports = *record_.spec.mutable_network()->mutable_ports();
  const auto found = std::find_if(ports.begin(), ports.end(), [&](const PublishedPort& known) {
    return SamePort(port, known);
  });
  if (found == ports.end()) {
    return done(MakeError(Reason::kInvalidArgument, "that port is not published"));
  }
  const absl::StatusOr<bool> runs = NetworkRuns();
  if (!runs.ok()) return done(runs.status());
  const PublishedPort known = *found;
  const auto forget = [known](Sandbox& self) {
    auto& all = *self.record_.spec.mutable_network()->mutable_ports();
    const auto at = std::find_if(all.begin(), all.end(), [&](const PublishedPort& candidate) {
      return SamePort(known, candidate);
    });
    if (at != all.end()) all.erase(at);
    return self.Journal();
  };
  if (!*runs) return done(forget(*this));
  msb::net::v1::ControlRequest request;
  *request.mutable_unpublish() = PortOf(known);
  AskNetworkThen(std::move(request),
                 [forget, done = std::move(done)](Sandbox& self, const NetworkResponse& response) {
                   done(response.ok() ? forget(self) : response.status());
                 });
}

void Sandbox::MeetNeighbours() {
  if (record_.spec.network().private_networks().empty()) return;
  for (const auto& other : neighbours_(record_)) {
    if (!other->CompanionRuns(kNetworkCompanion)) continue;
    // In one order, whoever begins: two meetings of the same two that cross would leave each of
    // them with an end whose other side is gone.
    if (record_.slot < other->record_.slot) {
      Meet(other);
    } else {
      other->Meet(shared_from_this());
    }
  }
}

// Each of the two is told in a turn of its own: one that does not answer keeps nobody else waiting.
void Sandbox::Meet(const std::shared_ptr<Sandbox>& other) {
  network_turns_.Take([this, other](absl::StatusOr<Turns::Turn> turn) {
    if (!turn.ok()) return;
    RunBlocking(
        [socket = NetworkSocket(), member = MemberOf(other->record_, record_),
         timeout = context_.config.agent.request_timeout] {
          return Introduce(socket, member, timeout);
        },
        [turn = *std::move(turn), other](Sandbox& self, absl::StatusOr<UniqueFd> end) {
          if (!end.ok()) return self.OnNotMet(*other, end.status());
          other->BeMet(self.shared_from_this(), std::make_shared<UniqueFd>(*std::move(end)));
        });
  });
}

void Sandbox::BeMet(const std::shared_ptr<Sandbox>& other, std::shared_ptr<const UniqueFd> end) {
  network_turns_.Take([this, other, end = std::move(end)](absl::StatusOr<Turns::Turn> turn) {
    if (!turn.ok()) return;
    RunBlocking(
        [socket = NetworkSocket(), member = MemberOf(other->record_, record_), end,
         timeout = context_.config.agent.request_timeout] {
          return Introduce(socket, member, *end, timeout);
        },
        [turn = *std::move(turn), other](Sandbox& self, const absl::Status& told) {
          if (!told.ok()) self.OnNotMet(*other, told);
        });
  });
}

// One of the two is ending: nothing to reach there.
void Sandbox::OnNotMet(const Sandbox& other, const absl::Status& why) const {
  MSB_LOG(kWarning) << "sandbox " << record_.id << " and " << other.record_.id
                    << " do not meet in their network: " << why.message();
}

void Sandbox::RestartNetwork(Done done) {
  InTurn(std::move(done), [this](Done turned) { RestartNetworkNow(std::move(turned)); });
}

void Sandbox::RestartNetworkNow(Done done) {
  if (state() != msb::v1::SANDBOX_STATE_RUNNING) return done(NotNow("restart the network of"));
  const bool with_secrets = UsesSecrets(record_.spec) && !CompanionRuns(kSecretsCompanion);
  if (with_secrets) {
    const absl::Status status = CheckAllValues(record_.spec, secret_values_);
    if (!status.ok()) {
      return done(MakeError(
          ReasonOf(status),
          absl::StrCat(status.message(), ", then msbctl net restart ", record_.spec.name())));
    }
  }
  UnwatchCompanion(kNetworkCompanion);  // its end is no news now
  RunBlocking(
      [&context = context_, plan = plan_, spec = record_.spec, values = secret_values_,
       with_secrets] {
        return RestartNetworkProcesses(context.launcher, context.config, plan, spec,
                                       with_secrets ? &values : nullptr);
      },
      [done = std::move(done)](Sandbox& self, RestartedNetwork restarted) {
        self.OnNetworkRestarted(std::move(restarted), done);
      });
}

void Sandbox::OnNetworkRestarted(RestartedNetwork restarted, const Done& asked) {
  const Done done = [self = shared_from_this(), asked](const absl::Status& status) {
    if (status.ok()) self->MeetNeighbours();
    asked(status);
  };
  if (!restarted.secrets.has_value()) {
    return TakeRestarted(kNetworkCompanion, std::move(restarted.network), done);
  }
  TakeRestarted(kNetworkCompanion, std::move(restarted.network),
                [self = shared_from_this(), done,
                 secrets = std::make_shared<absl::StatusOr<LaunchedCompanion>>(
                     *std::move(restarted.secrets))](const absl::Status& network) {
                  if (!network.ok()) return done(network);
                  self->TakeRestarted(kSecretsCompanion, std::move(*secrets),
                                      [self, done](const absl::Status& taken) {
                                        if (!taken.ok()) return done(taken);
                                        // Another process, another authority.
                                        self->TrustSecretsThen(done);
                                      });
                });
}

void Sandbox::NetworkStatusThen(std::function<void(absl::StatusOr<msb::v1::NetworkStatus>)> done) {
  using OnStatus = std::function<void(absl::StatusOr<msb::v1::NetworkStatus>)>;
  InTurn(std::move(done), [this](OnStatus turned) { NetworkStatusNow(std::move(turned)); });
}

void Sandbox::NetworkStatusNow(std::function<void(absl::StatusOr<msb::v1::NetworkStatus>)> done) {
  const absl::StatusOr<bool> runs = NetworkRuns();
  if (!runs.ok() || !*runs) {
    msb::v1::NetworkStatus status;
    *status.mutable_network() = record_.spec.network();
    return done(status);
  }
  msb::net::v1::ControlRequest request;
  request.mutable_status();
  AskNetworkThen(std::move(request),
                 [done = std::move(done)](Sandbox& self, const NetworkResponse& response) {
                   if (!response.ok()) return done(response.status());
                   const msb::net::v1::Status& from = response->status();
                   msb::v1::NetworkStatus status;
                   *status.mutable_network() = self.record_.spec.network();
                   status.set_running(true);
                   for (const msb::net::v1::RuleCounter& counter : from.counters()) {
                     msb::v1::RuleCounter& entry = *status.add_counters();
                     entry.set_flows(counter.flows());
                     entry.set_bytes_up(counter.bytes_up());
                     entry.set_bytes_down(counter.bytes_down());
                   }
                   status.set_tcp_connections(from.tcp_flows());
                   status.set_udp_flows(from.udp_flows());
                   status.set_bytes_up(from.bytes_up());
                   status.set_bytes_down(from.bytes_down());
                   status.set_dns_queries(from.dns_queries());
                   status.set_denied(from.denied());
                   status.set_dropped_packets(from.dropped_packets());
                   status.set_lost_events(from.lost_events());
                   done(status);
                 });
}

}  // namespace msb
