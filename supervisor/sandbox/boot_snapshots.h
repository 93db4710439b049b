// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The daemon's boot snapshots (docs/boot-snapshots.md): for each shape of machine one that has
// booted its kernel and waits for its devices. Made in the background once a machine of that shape
// has booted without, kept for as long as the host runs.

#ifndef MSB_SUPERVISOR_SANDBOX_BOOT_SNAPSHOTS_H_
#define MSB_SUPERVISOR_SANDBOX_BOOT_SNAPSHOTS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "supervisor/launch/cancellation.h"
#include "supervisor/launch/launcher.h"

namespace msb {

// What makes two machines one as far as their boot goes, beside what Options name.
struct MachineShape {
  msb::vmm::v1::Engine engine = msb::vmm::v1::ENGINE_KVM;
  uint32_t vcpus = 0;
  uint32_t memory_mib = 0;
  std::string kernel_path;
  std::string initramfs_path;

  // "qemu-1-512": engine, vCPUs, MiB.
  std::string Name() const;
};
MachineShape ShapeOf(const LaunchSpec& spec);

// Thread-safe.
class BootSnapshots {
 public:
  struct Options {
    std::string directory;
    // Of the machine that is being made: no other daemon's on the host. At most 40 bytes of
    // [A-Za-z0-9_.-].
    std::string id;
    uint32_t max_count = 0;       // the least recently used goes; 0: none are made or used
    absl::Duration delay;         // from a start without to the making
    absl::Duration boot_timeout;  // of the machine that is made
    absl::Duration first_retry = absl::Minutes(1);  // behind a failure; doubles with each
    // Programs that run machines: a snapshot is of one version of them. And how the host runs them.
    std::vector<std::string> programs;
    std::string host;
  };

  // Clears up what an earlier life of the daemon left half made; where that fails, none are made or
  // used. `launcher` outlives it.
  static std::unique_ptr<BootSnapshots> Open(Launcher& launcher, Options options);
  BootSnapshots(const BootSnapshots&) = delete;
  BootSnapshots& operator=(const BootSnapshots&) = delete;
  // Breaks off what is being made.
  ~BootSnapshots();

  // For a launch that goes on from it. Null: there is none of that shape.
  std::shared_ptr<const LaunchSnapshot> Find(const MachineShape& shape);
  // A machine has booted without one.
  void MakeLater(const MachineShape& shape);
  // A machine did not come up from it: `why`. It is not used again, and for a while none is made.
  void GiveUp(const MachineShape& shape, absl::string_view why);

  // Names of the shapes that there is one of, sorted.
  std::vector<std::string> List() const;

 private:
  BootSnapshots(Launcher& launcher, Options options);

  std::string PathOf(absl::string_view name) const;
  std::string StagingPath() const;
  // What a snapshot is of: it is worth nothing when any of it has changed.
  absl::StatusOr<std::string> IdentityOf(const MachineShape& shape) const;
  bool IsCurrent(const MachineShape& shape, const UniqueFd& directory) const;
  bool IsCurrent(const MachineShape& shape) const;
  void NoteFailure(const MachineShape& shape, absl::string_view why) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status ClearLeftovers();

  // The thread.
  void Run();
  // The next shape whose time has come; false at the end.
  bool TakeNext(MachineShape& shape);
  absl::Status Make(const MachineShape& shape);
  absl::Status RunMachine(const LaunchSpec& spec);
  absl::Status Publish(const MachineShape& shape, const std::string& identity);
  absl::Status MakeRoom(const MachineShape& shape);

  struct Wanted {
    MachineShape shape;
    absl::Time due;
  };

  Launcher& launcher_;
  const Options options_;
  const std::string boot_id_;  // of the host
  uint32_t max_count_;
  Cancellation ending_;
  mutable absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Wanted> wanted_ ABSL_GUARDED_BY(mutex_);
  struct Failure {
    absl::Duration wait;
    absl::Time again;
  };
  std::map<std::string, Failure> failures_ ABSL_GUARDED_BY(mutex_);  // by names of shapes
  std::thread thread_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_BOOT_SNAPSHOTS_H_
