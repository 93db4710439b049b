// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A sandbox's network, from what a client asked for to what msb-net is told.

#ifndef MSB_SUPERVISOR_SANDBOX_NETWORK_H_
#define MSB_SUPERVISOR_SANDBOX_NETWORK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "msb/net/v1/net.pb.h"
#include "msb/v1/network.pb.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/config/config.h"
#include "supervisor/launch/launcher.h"
#include "supervisor/sandbox/caller.h"
#include "supervisor/sandbox/secrets.h"

namespace msb {

inline constexpr char kNetworkCompanion[] = "net";
inline constexpr uint32_t kNetworkUser = 0;  // CompanionSpec.own_user

// `network` with its defaults filled in and its rules in both forms. kInvalidArgument with what is
// wrong.
absl::Status CompleteNetwork(const NetworkConfig& config, msb::v1::Network& network);
// kPermissionDenied for a port that only root may have.
absl::Status CheckPortRights(const Caller& caller, const msb::v1::PublishedPort& port);
absl::Status CompletePort(msb::v1::PublishedPort& port);
// kLimitExceeded for more published ports than one sandbox may have.
absl::Status CheckPortCount(const NetworkConfig& config, int count);
// Whether the machine gets a network card: not where nothing could ever pass.
bool HasCard(const msb::v1::Network& network);

// Adds the card and the processes behind it to `spec`, and what the guest is told of them.
void AddNetwork(const Config& config, const msb::v1::SandboxSpec& sandbox, LaunchSpec& spec);

// What is there after a restart.
struct RestartedNetwork {
  absl::StatusOr<LaunchedCompanion> network;
  std::optional<absl::StatusOr<LaunchedCompanion>> secrets;
};
// Ends the msb-net of a running machine, if it has not ended, and puts a new one in its place; with
// `values` (of the sandbox's secrets) its msb-secrets too. Connections are lost, published ports
// are kept. What cannot be used in the end is ended again. Blocks.
RestartedNetwork RestartNetworkProcesses(Launcher& launcher, const Config& config,
                                         const LaunchPlan& plan,
                                         const msb::v1::SandboxSpec& sandbox,
                                         const SecretValues* values);

msb::net::v1::Policy PolicyOf(const msb::v1::Network& network);

// Of msb-net or msb-secrets.
absl::Status StatusOf(const msb::net::v1::Error& error);

// One request to the msb-net behind `control_socket`; `fd` (or -1) goes with it. Blocks for at most
// `timeout`. The error of msb-net, or kHostError when it is not there.
absl::StatusOr<msb::net::v1::ControlResponse> AskNetwork(const std::string& control_socket,
                                                         msb::net::v1::ControlRequest request,
                                                         int fd, absl::Duration timeout);
// Binds `port` on the host and hands the socket to msb-net. Returns the port that was bound.
absl::StatusOr<uint32_t> PublishOnHost(const std::string& control_socket,
                                       const msb::v1::PublishedPort& port, absl::Duration timeout);
msb::net::v1::Port PortOf(const msb::v1::PublishedPort& port);

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_NETWORK_H_
