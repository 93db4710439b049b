// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Starts a VMM process in its jail, finds one again after a restart of the daemon, and clears up
// behind it. An interface, so that the sandbox's life cycle is tested against a fake.

#ifndef MSB_SUPERVISOR_LAUNCH_LAUNCHER_H_
#define MSB_SUPERVISOR_LAUNCH_LAUNCHER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "msb/vmm/v1/vm_spec.pb.h"
#include "supervisor/launch/companion.h"

namespace msb {

struct LaunchDisk {
  std::string id;
  std::string path;
  bool read_only = true;
  // Files that continue a read-only disk: an image's layers are one disk, lowest first.
  std::vector<std::string> more_paths = {};
};

// Opened files of a machine that has booted and waits for its devices (docs/boot-snapshots.md).
struct LaunchSnapshot {
  enum class Use {
    kSave,     // the machine is one of these: it writes the files and ends
    kRestore,  // the machine goes on from them, instead of booting the kernel
  };
  Use use = Use::kRestore;
  UniqueFd memory;
  UniqueFd state;  // with an offset of its own
};

struct LaunchSpec {
  std::string id;     // of the sandbox
  uint32_t slot = 0;  // unique among sandboxes that are not removed; makes the uid and the CID
  msb::vmm::v1::Engine engine = msb::vmm::v1::ENGINE_KVM;
  uint32_t vcpus = 1;
  uint32_t memory_mib = 512;
  uint32_t cpu_milli = 0;  // 0: vcpus * 1000
  std::string kernel_path;
  std::string initramfs_path;
  std::string command_line;  // beside what the engine adds
  std::vector<LaunchDisk> disks;
  uint32_t boot_timeout_ms = 60'000;
  uint64_t console_limit_bytes = 1 << 20;
  // eth0, whose other end is companions[companion].
  struct Net {
    std::string mac;  // 6 bytes
    uint32_t mtu = 0;
    size_t companion = 0;
  };
  std::optional<Net> net;
  // A virtio-fs device, whose server is companions[companion].
  struct FileSystem {
    std::string tag;  // what the guest mounts
    size_t companion = 0;
  };
  std::optional<FileSystem> file_system;
  // Started before the VMM, in no order. The VMM has its side of the link with the one of
  // index i as descriptor VmmFdOfCompanion(i) (vmm_inputs.h); MakeVmSpec tells it what for.
  std::vector<CompanionSpec> companions;
  std::shared_ptr<const LaunchSnapshot> snapshot;  // null: boots its kernel, as usual
};

// Where the parts of a sandbox's VMM are. A function of the configuration and the sandbox's id and
// slot alone: known before anything is made, so that it can be journalled first.
struct LaunchPlan {
  std::string id;                 // of the sandbox
  std::string runtime_directory;  // holds all of the following
  std::string control_socket;
  std::string vsock_socket;
  std::string link_socket;  // where a new end of the network's wire is handed to the VMM
  std::string console_log;
  std::string vmm_log;
  std::string exit_event;  // frame of a msb.vmm.v1.VmEvent once the VMM has ended
  std::string cgroup;      // name below each controller's (or the unified) mount
  uint32_t uid = 0;
  // Of companions without an identity of their own, by CompanionSpec.own_user.
  std::array<uint32_t, kOwnUsers> companion_uids = {};
  uint32_t guest_cid = 0;
};

// Where the parts of a companion are, a function of the plan and its name.
struct CompanionPaths {
  std::string control_socket;
  std::string vmm_pipe;  // whose writing end its VMM has, with VmmLink::kLifetime
  std::string log;       // of the ended ones
  std::string cgroup;    // beside the sandbox's own
};
CompanionPaths PathsOf(const LaunchPlan& plan, absl::string_view companion);

// Names one process for good: a pid comes again, a pid with its start time does not.
struct ProcessIdentity {
  int pid = 0;
  uint64_t start_time_ticks = 0;  // field 22 of /proc/<pid>/stat
};

struct LaunchedCompanion {
  std::string name;
  ProcessIdentity process;
  UniqueFd pidfd;  // readable when the process has ended
};

struct LaunchedVmm {
  ProcessIdentity process;
  UniqueFd pidfd;                             // readable when the process has ended
  std::vector<LaunchedCompanion> companions;  // as in the LaunchSpec
};

// What is known of how a companion ended.
struct CompanionEnd {
  bool orderly = false;  // with code 0: its VMM hung up
  bool oom_killed = false;
  std::string detail;  // how, and the last line of its log
};

class Launcher {
 public:
  virtual ~Launcher() = default;

  virtual LaunchPlan Plan(absl::string_view id, uint32_t slot) const = 0;
  // Makes the runtime directory, its sockets and logs and the cgroups, and runs jailers, companions
  // and VMM. Returns when the VMM process stands in its jail; its control socket takes connections
  // from then on. On an error nothing is left behind. Blocks for some milliseconds; thread-safe.
  virtual absl::StatusOr<LaunchedVmm> Launch(const LaunchSpec& spec) = 0;
  // The same process of an earlier life of the daemon. kVmmDied when it is gone.
  virtual absl::StatusOr<LaunchedVmm> Adopt(const ProcessIdentity& process,
                                            const LaunchPlan& plan) = 0;
  // Kills what is left of the VMM and its companions (SIGKILL to all in their cgroups), waits for
  // their end, removes cgroups, sockets and runtime directory, but keeps the logs until RemoveLogs.
  // Finds the companions by itself. Idempotent. The VMM's wait status, where it was a child of this
  // daemon's that nobody has reaped before.
  virtual absl::StatusOr<std::optional<int>> CleanUp(const LaunchPlan& plan) = 0;
  virtual absl::Status RemoveLogs(const LaunchPlan& plan) = 0;

  // Whether the companion's sources could be opened now: the reason and the label of the first that
  // could not. Starts nothing and needs no VMM. Blocks like Launch.
  virtual absl::Status CheckSources(const LaunchPlan& plan, const CompanionSpec& spec) = 0;

  // Starts one more companion, or an ended one again, beside a VMM that runs. With
  // VmmLink::kLifetime it is connected with the VMM already; with kSocketpair `vmm_socket` is the
  // caller's, who hands it to the VMM. Blocks like Launch; nothing is left behind on an error.
  struct StartedCompanion {
    LaunchedCompanion companion;
    UniqueFd vmm_socket;
  };
  virtual absl::StatusOr<StartedCompanion> StartCompanion(const LaunchPlan& plan,
                                                          const CompanionSpec& spec) = 0;
  // As Adopt. kCompanionDied when it is gone.
  virtual absl::StatusOr<LaunchedCompanion> AdoptCompanion(absl::string_view name,
                                                           const ProcessIdentity& process,
                                                           const LaunchPlan& plan) = 0;
  // Ends one companion: kills what is left of it, keeps its log, removes its cgroup and socket.
  // Says how it had ended before, if it had. Blocks; idempotent.
  virtual absl::StatusOr<CompanionEnd> EndCompanion(const LaunchPlan& plan,
                                                    absl::string_view name) = 0;

  // Of the VMM and its companions together; the limit and the OOM kill are the VMM's.
  struct Usage {
    uint64_t cpu_ns = 0;
    uint64_t memory_bytes = 0;
    uint64_t memory_limit_bytes = 0;
    bool oom_killed = false;
  };
  virtual absl::StatusOr<Usage> ReadUsage(const LaunchPlan& plan) const = 0;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_LAUNCHER_H_
