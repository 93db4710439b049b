// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Networks between sandboxes: their names, and what a member is told of another (docs/network.md).
// There is nothing else to a network: connections go from msb-net to msb-net.

#ifndef MSB_SUPERVISOR_SANDBOX_PRIVATE_NETWORKS_H_
#define MSB_SUPERVISOR_SANDBOX_PRIVATE_NETWORKS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "msb/net/v1/net.pb.h"
#include "msb/v1/network.pb.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/sandbox/caller.h"
#include "supervisor/store/sandbox_record.h"
#include "supervisor/store/sandbox_store.h"

namespace msb {

inline constexpr int kMaxPrivateNetworksOfSandbox = 16;
inline constexpr size_t kMaxPrivateNetworksOfUser = 256;

// kInvalidName for one that no network can have.
absl::Status ValidatePrivateNetworkName(absl::string_view name);
// Names that are names, none twice. kInvalidName, kInvalidArgument.
absl::Status CheckPrivateNetworks(const msb::v1::Network& network);

// What its own msb-net knows before anybody is there.
void AddOwnNames(const msb::v1::SandboxSpec& spec, msb::net::v1::NetSpec& net);
// `sandbox` as another one sees it, in the networks that both are in; no names: there is none.
msb::net::v1::Member MemberOf(const SandboxRecord& sandbox, const SandboxRecord& seen_by);
// Tells the msb-net behind `control_socket` of another member, whom it reaches by the other side of
// `end`; without one, by what is returned. Blocks.
absl::Status Introduce(const std::string& control_socket, const msb::net::v1::Member& member,
                       const UniqueFd& end, absl::Duration timeout);
absl::StatusOr<UniqueFd> Introduce(const std::string& control_socket,
                                   const msb::net::v1::Member& member, absl::Duration timeout);

// Threading: as Registry.
class PrivateNetworks {
 public:
  // Names of the sandboxes of a user that are members.
  using MembersOf = std::function<std::vector<std::string>(uint32_t owner_uid, const std::string&)>;

  PrivateNetworks(SandboxStore& store, MembersOf members_of)
      : store_(store), members_of_(std::move(members_of)) {}

  absl::Status Recover();
  // kPrivateNetworkNameTaken, kInvalidName, kLimitExceeded.
  absl::StatusOr<msb::v1::PrivateNetwork> Create(const Caller& caller, const std::string& name);
  // Those of the caller; of all users for one who sees all.
  msb::v1::ListPrivateNetworksResponse List(const Caller& caller) const;
  // kPrivateNetworkInUse, kPrivateNetworkNotFound.
  absl::Status Remove(const Caller& caller, const std::string& name);
  // kPrivateNetworkNotFound with the first that is not the caller's.
  absl::Status Check(const Caller& caller, const msb::v1::Network& network) const;

 private:
  using Key = std::pair<uint32_t, std::string>;
  msb::v1::PrivateNetwork ViewOf(const PrivateNetworkRecord& record) const;

  SandboxStore& store_;
  const MembersOf members_of_;
  std::map<Key, PrivateNetworkRecord> networks_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_PRIVATE_NETWORKS_H_
