// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// All sandboxes of the daemon: found by id, name or prefix of an id, made, and taken over from an
// earlier life of the daemon.

#ifndef MSB_SUPERVISOR_SANDBOX_REGISTRY_H_
#define MSB_SUPERVISOR_SANDBOX_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "supervisor/sandbox/caller.h"
#include "supervisor/sandbox/context.h"
#include "supervisor/sandbox/private_networks.h"
#include "supervisor/sandbox/sandbox.h"
#include "supervisor/sandbox/volumes.h"

namespace msb {

// Calls that take a callback may come from any thread; the callback runs on the loop that owns the
// sandboxes, once, and must not block.
class Registry {
 public:
  using Found = absl::StatusOr<std::shared_ptr<Sandbox>>;
  using OnFound = std::function<void(Found)>;
  using OnView = std::function<void(absl::StatusOr<msb::v1::Sandbox>)>;

  explicit Registry(SandboxContext context);
  // The VMMs run on. No thread may be in a loop or a worker of the context any more.
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // Reads the journal and takes up every sandbox in it. Before anything else, on the loop or before
  // it runs.
  absl::Status Recover();

  void Create(Caller caller, msb::v1::SandboxSpec spec, bool start, OnView done,
              SecretValues secrets = {});
  void List(Caller caller, msb::v1::ListRequest filter,
            std::function<void(msb::v1::ListResponse)> done);
  // The sandbox that `name` means to `caller`: kSandboxNotFound when there is none that it may see.
  void With(Caller caller, std::string name, OnFound done);
  // Boots one, unless the limit on memory in use forbids it.
  void Start(const Caller& caller, const std::shared_ptr<Sandbox>& sandbox, Sandbox::Done done,
             SecretValues secrets = {});
  // Stops it first when `force` is set. On the loop.
  static void Remove(const std::shared_ptr<Sandbox>& sandbox, bool force, Sandbox::Done done);

  struct Counts {
    uint32_t sandboxes = 0;
    uint32_t running = 0;
  };
  void Count(std::function<void(Counts)> done);

  // Lets go of everybody who waits for a sandbox or its guest, with kDaemonShuttingDown, `grace`
  // from now. The sandboxes go on; the registry is of no use any more. From any thread.
  void EndCalls(absl::Duration grace);

  const SandboxContext& context() const { return context_; }
  // Belongs to the loop, as far as it does not say otherwise.
  Volumes& volumes() { return volumes_; }
  PrivateNetworks& private_networks() { return private_networks_; }

 private:
  void CreateNow(Caller caller, msb::v1::SandboxSpec spec, bool start, SecretValues secrets,
                 OnView done);
  Found Find(Caller caller, absl::string_view name) const;
  // Whether `caller` may have the mounts of `spec`; tells it of what kind the volumes are, and of
  // the quotas.
  absl::Status CheckMounts(const Caller& caller, msb::v1::SandboxSpec& spec) const;
  // Names of the sandboxes that mount it.
  std::vector<std::string> UsersOf(absl::string_view volume) const;
  // Names of the sandboxes of that owner that are members of the private network.
  std::vector<std::string> MembersOf(uint32_t owner_uid, const std::string& network) const;
  std::vector<std::shared_ptr<Sandbox>> NeighboursOf(const SandboxRecord& record) const;
  absl::Status AdmitMemory(uint32_t memory_mib) const;
  absl::StatusOr<uint32_t> FreeSlot() const;
  absl::Status PinImage(const SandboxRecord& record) const;
  std::shared_ptr<Sandbox> Add(SandboxRecord record);
  void Forget(const std::string& id);
  void ReportOrphans() const;

  const SandboxContext context_;
  std::map<std::string, std::shared_ptr<Sandbox>> by_id_;
  absl::flat_hash_map<std::string, std::string> id_of_name_;
  absl::flat_hash_set<uint32_t> slots_;
  std::mt19937 random_;
  bool calls_ended_ = false;
  Volumes volumes_;
  PrivateNetworks private_networks_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_REGISTRY_H_
