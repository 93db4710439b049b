// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/init_guest.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "guest-agent/boot/guest_stats.h"
#include "guest-agent/boot/mounts.h"
#include "guest-agent/boot/stop_signal.h"
#include "guest-agent/boot/trust_stores.h"

namespace msb {
namespace {

std::string ReadMounts() {
  const UniqueFd file(::open("/proc/self/mounts", O_RDONLY | O_CLOEXEC));
  std::string text;
  char chunk[4096];
  for (ssize_t got; file.valid() && (got = ::read(file.get(), chunk, sizeof(chunk))) > 0;) {
    text.append(chunk, static_cast<size_t>(got));
  }
  return text;
}

// Whether any process but pid 1 and the kernel's threads is left: orphans become its children.
bool HasChildren() {
  siginfo_t child{};
  return ::waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void MakeReadOnly(const char* path) {
  ::mount(nullptr, path, nullptr, MS_REMOUNT | MS_RDONLY, nullptr);
}

// What users have mounted from a device or the host, the latest first.
void UnmountVolumes() {
  const std::string mounts = ReadMounts();
  std::vector<std::string> targets;
  for (const absl::string_view line : absl::StrSplit(mounts, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields.size() < 3 || fields[1] == "/") continue;
    const bool holds_data = absl::StartsWith(fields[0], "/dev/") || fields[2] == "virtiofs" ||
                            absl::StartsWith(fields[2], "fuse");
    if (holds_data) targets.push_back(fields[1]);
  }
  for (auto target = targets.rbegin(); target != targets.rend(); ++target) {
    if (::umount2(target->c_str(), UMOUNT_NOFOLLOW) != 0) MakeReadOnly(target->c_str());
  }
}

}  // namespace

void ResetMachine() {
  ::reboot(RB_AUTOBOOT);
  // Only a kernel that cannot reset comes here; ending pid 1 makes it panic, which ends the machine
  // too.
  ::_exit(1);
}

void InitGuest::SetLoop(EventLoop& loop, std::function<void()> on_shutdown) {
  loop_ = &loop;
  on_shutdown_ = std::move(on_shutdown);
}

absl::Status InitGuest::SetClock(uint64_t nanoseconds) { return SetRealtimeClock(nanoseconds); }

agent::v1::GuestStats InitGuest::Stats() { return CollectGuestStats(); }

absl::Status InitGuest::MountAll(const agent::v1::MountAll& request) {
  return msb::MountAll(request);
}

absl::StatusOr<std::vector<std::string>> InitGuest::TrustCa(const std::string& pem) {
  return AddToTrustStores("", pem);
}

void InitGuest::BeginShutdown(const ShutdownRequest& request) {
  if (std::exchange(ending_, true)) return;
  on_shutdown_();
  if (request.signal != SIGTERM) AskCommands(request);
  if (asked_.empty()) AskAll();
  if (!HasChildren()) return OnNoChildren();  // no SIGCHLD would come
  loop_->After(request.grace, [this] { KillAll(); });
}

// Those that know the image's stop signal get it; all but them and what they have started is asked
// as ever.
void InitGuest::AskCommands(const ShutdownRequest& request) {
  const std::vector<pid_t> commands = ProcessesThatKnow(request.signal, request.commands);
  for (const pid_t pid : commands) {
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    const int fd = pidfd.get();
    const bool watched =
        pidfd.valid() &&
        loop_->Watch(fd, EPOLLIN, [this, fd](uint32_t) { OnCommandEnded(fd); }).ok();
    if (watched) asked_.push_back(std::move(pidfd));
  }
  if (asked_.size() != commands.size()) return AskAll();  // out of descriptors
  if (asked_.empty()) return;
  for (const pid_t pid : ProcessesOutside(commands)) ::kill(pid, SIGTERM);
  for (const pid_t pid : commands) ::kill(pid, request.signal);
  ::kill(-1, SIGCONT);
}

// From pid 1: every process but itself. Those that are stopped have to wake up for it.
void InitGuest::AskAll() {
  ::kill(-1, SIGTERM);
  ::kill(-1, SIGCONT);
}

void InitGuest::OnCommandEnded(int pidfd) {
  loop_->Unwatch(pidfd);
  asked_.erase(std::find_if(asked_.begin(), asked_.end(),
                            [&](const UniqueFd& fd) { return fd.get() == pidfd; }));
  if (asked_.empty()) AskAll();  // what they have left
}

void InitGuest::KillAll() {
  ::kill(-1, SIGKILL);
  loop_->After(kKillWait, [this] { End(); });
}

void InitGuest::OnNoChildren() {
  // Behind this turn of the loop: the last commands' ends still have to be sent.
  if (ending_) loop_->After(absl::ZeroDuration(), [this] { End(); });
}

void InitGuest::End() {
  ::sync();
  UnmountVolumes();
  MakeReadOnly("/");
  MakeReadOnly(absl::StrCat("/proc/self/fd/", writable_layer_.get()).c_str());
  marks_.Add(agent::v1::BootMark::STAGE_SHUTTING_DOWN);
  marks_.SendNow(kLastMarkWait);
  ResetMachine();
}

}  // namespace msb
