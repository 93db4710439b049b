// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/boot_snapshots.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/launch_options.h"
#include "supervisor/launch/poll_timeout.h"
#include "supervisor/launch/process.h"
#include "supervisor/sandbox/vmm_jobs.h"
#include "supervisor/store/data_directory.h"

namespace msb {
namespace {

constexpr unsigned kPrivateMode = 0700;
constexpr char kMemory[] = "memory";
constexpr char kState[] = "state";
constexpr char kIdentity[] = "/identity";
constexpr char kStaging[] = ".making";
// Saving takes the longer the more there is to look at.
constexpr uint32_t kMaxMemoryMib = 16 * 1024;
constexpr absl::Duration kLongestRetry = absl::Hours(1);
constexpr size_t kMaxFailures = 1024;
// From the end of the boot's own time limit, which the VMM keeps, to the end of our patience.
constexpr absl::Duration kMargin = absl::Seconds(5);

// Which file this is, and that nobody has written to it since.
absl::StatusOr<std::string> FileIdentity(const std::string& path) {
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall(path, [&] { return ::stat(path.c_str(), &info); }));
  return absl::StrCat(path, " ", info.st_dev, ":", info.st_ino, " ", info.st_size, " ",
                      info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec, " ", info.st_ctim.tv_sec, ".",
                      info.st_ctim.tv_nsec, "\n");
}

absl::StatusOr<UniqueFd> OpenDirectory(const std::string& path) {
  return OpenHostFile(path, O_PATH | O_DIRECTORY);
}

absl::StatusOr<std::shared_ptr<const LaunchSnapshot>> OpenFiles(const UniqueFd& directory,
                                                                LaunchSnapshot::Use use) {
  const int flags = use == LaunchSnapshot::Use::kSave ? O_RDWR | O_CREAT | O_EXCL : O_RDONLY;
  const auto open = [&](const char* name) -> absl::StatusOr<UniqueFd> {
    MSB_ASSIGN_OR_RETURN(const int fd, Syscall(name, [&] {
                           return ::openat(directory.get(), name, flags | O_CLOEXEC | O_NOFOLLOW,
                                           0600);
                         }));
    return UniqueFd(fd);
  };
  auto files = std::make_shared<LaunchSnapshot>();
  files->use = use;
  MSB_ASSIGN_OR_RETURN(files->memory, open(kMemory));
  MSB_ASSIGN_OR_RETURN(files->state, open(kState));
  return files;
}

struct Kept {
  std::string name;
  timespec used{};
};

// Those that are whole, the least recently used first.
std::vector<Kept> ListKept(const std::string& directory) {
  std::vector<Kept> all;
  for (const std::string& name :
       ListHostDirectory(directory).value_or(std::vector<std::string>())) {
    struct stat info {};
    const std::string identity = absl::StrCat(directory, "/", name, kIdentity);
    if (name[0] != '.' && ::stat(identity.c_str(), &info) == 0) all.push_back({name, info.st_mtim});
  }
  std::sort(all.begin(), all.end(), [](const Kept& a, const Kept& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  return all;
}

}  // namespace

std::string MachineShape::Name() const {
  return absl::StrCat(engine == msb::vmm::v1::ENGINE_KVM ? "kvm" : "qemu", "-", vcpus, "-",
                      memory_mib);
}

MachineShape ShapeOf(const LaunchSpec& spec) {
  return {.engine = spec.engine,
          .vcpus = spec.vcpus,
          .memory_mib = spec.memory_mib,
          .kernel_path = spec.kernel_path,
          .initramfs_path = spec.initramfs_path};
}

std::unique_ptr<BootSnapshots> BootSnapshots::Open(Launcher& launcher, Options options) {
  std::unique_ptr<BootSnapshots> snapshots(new BootSnapshots(launcher, std::move(options)));
  const absl::Status cleared = snapshots->ClearLeftovers();
  if (!cleared.ok()) {
    // Sandboxes start without, too.
    MSB_LOG(kError) << "no boot snapshots: " << cleared.message();
    snapshots->max_count_ = 0;
  }
  if (snapshots->max_count_ > 0) {
    snapshots->thread_ = std::thread([raw = snapshots.get()] { raw->Run(); });
  }
  return snapshots;
}

BootSnapshots::BootSnapshots(Launcher& launcher, Options options)
    : launcher_(launcher),
      options_(std::move(options)),
      boot_id_(ReadHostFile("/proc/sys/kernel/random/boot_id").value_or("")),
      // Without, nothing would tell the machines of one boot from those of the next.
      max_count_(boot_id_.empty() ? 0 : options_.max_count) {}

BootSnapshots::~BootSnapshots() {
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
  }
  ending_.Cancel();
  if (thread_.joinable()) thread_.join();
}

absl::Status BootSnapshots::ClearLeftovers() {
  MSB_RETURN_IF_ERROR(EnsureDirectory(options_.directory, kPrivateMode));
  const LaunchPlan plan = launcher_.Plan(options_.id, kSnapshotSlot);
  MSB_RETURN_IF_ERROR(launcher_.CleanUp(plan).status());
  MSB_RETURN_IF_ERROR(launcher_.RemoveLogs(plan));
  MSB_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListHostDirectory(options_.directory));
  for (const std::string& name : names) {
    const auto identity = ReadHostFile(PathOf(name) + kIdentity);
    const bool whole = name[0] != '.' && identity.ok();
    if (max_count_ > 0 && whole && absl::StrContains(*identity, boot_id_)) continue;
    MSB_RETURN_IF_ERROR(RemoveTree(PathOf(name)));
  }
  return absl::OkStatus();
}

std::string BootSnapshots::PathOf(absl::string_view name) const {
  return absl::StrCat(options_.directory, "/", name);
}

std::string BootSnapshots::StagingPath() const { return PathOf(kStaging); }

absl::StatusOr<std::string> BootSnapshots::IdentityOf(const MachineShape& shape) const {
  // The state holds what the host's processor is, and its clocks.
  std::string identity = absl::StrCat("host ", options_.host, "\nboot ", boot_id_);
  std::vector<std::string> files = options_.programs;
  files.push_back(shape.kernel_path);
  files.push_back(shape.initramfs_path);
  for (const std::string& path : files) {
    MSB_ASSIGN_OR_RETURN(const std::string file, FileIdentity(path));
    identity.append(file);
  }
  return identity;
}

// As it was when `directory` was opened, whatever its path leads to later.
bool BootSnapshots::IsCurrent(const MachineShape& shape, const UniqueFd& directory) const {
  const auto wanted = IdentityOf(shape);
  const auto found = ReadHostFile(absl::StrCat("/proc/self/fd/", directory.get(), kIdentity));
  return wanted.ok() && found.ok() && *wanted == *found;
}

bool BootSnapshots::IsCurrent(const MachineShape& shape) const {
  const auto directory = OpenDirectory(PathOf(shape.Name()));
  return directory.ok() && IsCurrent(shape, *directory);
}

std::shared_ptr<const LaunchSnapshot> BootSnapshots::Find(const MachineShape& shape) {
  if (max_count_ == 0) return nullptr;
  const auto directory = OpenDirectory(PathOf(shape.Name()));
  if (!directory.ok() || !IsCurrent(shape, *directory)) return nullptr;
  auto files = OpenFiles(*directory, LaunchSnapshot::Use::kRestore);
  if (!files.ok()) return nullptr;
  ::utimensat(AT_FDCWD, absl::StrCat("/proc/self/fd/", directory->get(), kIdentity).c_str(),
              nullptr, 0);  // used now
  return *std::move(files);
}

void BootSnapshots::MakeLater(const MachineShape& shape) {
  if (max_count_ == 0 || shape.memory_mib > kMaxMemoryMib) return;
  absl::MutexLock lock(&mutex_);
  const bool known = std::any_of(wanted_.begin(), wanted_.end(), [&](const Wanted& wanted) {
    return wanted.shape.Name() == shape.Name();
  });
  // Who starts machines of ever new shapes gets no more than is kept at a time.
  if (known || wanted_.size() >= max_count_) return;
  const auto failure = failures_.find(shape.Name());
  if (failure != failures_.end() && absl::Now() < failure->second.again) return;
  wanted_.push_back({.shape = shape, .due = absl::Now() + options_.delay});
}

void BootSnapshots::GiveUp(const MachineShape& shape, absl::string_view why) {
  // The rest goes at the next start of the daemon, or with the next of that name.
  ::unlink((PathOf(shape.Name()) + kIdentity).c_str());
  NoteFailure(shape, why);
}

// The first time may be the host's bad moment; what fails again and again is tried ever more
// rarely.
void BootSnapshots::NoteFailure(const MachineShape& shape, absl::string_view why) {
  absl::MutexLock lock(&mutex_);
  if (failures_.size() >= kMaxFailures) failures_.clear();
  Failure& failure = failures_[shape.Name()];
  failure.wait = std::clamp(failure.wait * 2, options_.first_retry, kLongestRetry);
  failure.again = absl::Now() + failure.wait;
  MSB_LOG(kWarning) << "no boot snapshot of " << shape.Name() << " for the next "
                    << absl::FormatDuration(failure.wait) << ": " << why;
}

std::vector<std::string> BootSnapshots::List() const {
  std::vector<std::string> names;
  for (const Kept& kept : ListKept(options_.directory)) names.push_back(kept.name);
  std::sort(names.begin(), names.end());
  return names;
}

// --- the thread ---

void BootSnapshots::Run() {
  MachineShape shape;
  while (TakeNext(shape)) {
    if (IsCurrent(shape)) continue;
    const absl::Time begin = absl::Now();
    const absl::Status made = Make(shape);
    if (ending_.cancelled()) return;
    if (!made.ok()) {
      NoteFailure(shape, made.message());
      continue;
    }
    MSB_LOG(kInfo) << "boot snapshot of " << shape.Name() << " made in "
                   << absl::ToInt64Milliseconds(absl::Now() - begin) << " ms";
  }
}

bool BootSnapshots::TakeNext(MachineShape& shape) {
  absl::MutexLock lock(&mutex_);
  const auto has_news = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return ended_ || !wanted_.empty();
  };
  mutex_.Await(absl::Condition(&has_news));
  if (ended_) return false;
  // Those who come later are due later.
  mutex_.AwaitWithDeadline(absl::Condition(&ended_), wanted_.front().due);
  if (ended_) return false;
  shape = std::move(wanted_.front().shape);
  wanted_.pop_front();
  return true;
}

absl::Status BootSnapshots::Make(const MachineShape& shape) {
  MSB_RETURN_IF_ERROR(RemoveTree(StagingPath()));
  MSB_RETURN_IF_ERROR(EnsureDirectory(StagingPath(), kPrivateMode));
  // Before the machine: what changes meanwhile makes the snapshot worthless.
  MSB_ASSIGN_OR_RETURN(const std::string identity, IdentityOf(shape));
  LaunchSpec spec;
  spec.id = options_.id;
  spec.slot = kSnapshotSlot;
  spec.engine = shape.engine;
  spec.vcpus = shape.vcpus;
  spec.memory_mib = shape.memory_mib;
  spec.kernel_path = shape.kernel_path;
  spec.initramfs_path = shape.initramfs_path;
  spec.boot_timeout_ms = static_cast<uint32_t>(absl::ToInt64Milliseconds(options_.boot_timeout));
  MSB_ASSIGN_OR_RETURN(const UniqueFd staging, OpenDirectory(StagingPath()));
  MSB_ASSIGN_OR_RETURN(spec.snapshot, OpenFiles(staging, LaunchSnapshot::Use::kSave));
  absl::Status made = RunMachine(spec);
  if (made.ok()) made = MakeRoom(shape);
  if (made.ok()) made = Publish(shape, identity);
  if (!made.ok()) RemoveTree(StagingPath()).IgnoreError();
  return made;
}

absl::Status BootSnapshots::RunMachine(const LaunchSpec& spec) {
  MSB_ASSIGN_OR_RETURN(const LaunchedVmm vmm, launcher_.Launch(spec));
  const absl::Time deadline = absl::Now() + options_.boot_timeout + kMargin;
  pollfd fds[] = {{.fd = vmm.pidfd.get(), .events = POLLIN, .revents = 0},
                  {.fd = ending_.fd(), .events = POLLIN, .revents = 0}};
  int ready = 0;
  do {
    ready = ::poll(fds, 2, PollTimeoutMs(deadline));
  } while ((ready < 0 && errno == EINTR) || (ready == 0 && absl::Now() < deadline));
  const bool ended = fds[0].revents != 0;
  const LaunchPlan plan = launcher_.Plan(spec.id, spec.slot);
  const VmmEnd end = ClearUpVmm(launcher_, plan);
  launcher_.RemoveLogs(plan).IgnoreError();
  if (!ended) return absl::DeadlineExceededError("the machine did not end in time");
  // The end of a machine that has saved itself.
  if (end.exit_event && ReasonFromNumber(end.exit_event->reason()) == Reason::kStoppedByRequest) {
    return absl::OkStatus();
  }
  const EndVerdict verdict = JudgeEnd(end);
  return MakeError(verdict.reason, verdict.detail);
}

// Whole, or not at all: the identity comes last, and Find begins with it.
absl::Status BootSnapshots::Publish(const MachineShape& shape, const std::string& identity) {
  const std::string path = PathOf(shape.Name());
  const std::string identity_path = StagingPath() + kIdentity;
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall(identity_path, [&] {
                         return ::open(identity_path.c_str(),
                                       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                       }));
  const UniqueFd file(fd);
  MSB_ASSIGN_OR_RETURN(const ssize_t written, Syscall(identity_path, [&] {
                         return ::write(fd, identity.data(), identity.size());
                       }));
  if (static_cast<size_t>(written) != identity.size()) {
    return MakeError(Reason::kNoSpace, absl::StrCat("write ", identity_path));
  }
  MSB_RETURN_IF_ERROR(RemoveTree(path));
  return Syscall(path, [&] { return ::rename(StagingPath().c_str(), path.c_str()); }).status();
}

// For one more, or another of that shape. Machines that go on from one have it open.
absl::Status BootSnapshots::MakeRoom(const MachineShape& shape) {
  std::vector<Kept> others = ListKept(options_.directory);
  std::erase_if(others, [&](const Kept& kept) { return kept.name == shape.Name(); });
  for (size_t i = 0; i < others.size() && others.size() - i >= max_count_; ++i) {
    MSB_RETURN_IF_ERROR(RemoveTree(PathOf(others[i].name)));
  }
  return absl::OkStatus();
}

}  // namespace msb
