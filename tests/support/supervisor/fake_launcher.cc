// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/supervisor/fake_launcher.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/frames.h"

extern char** environ;

namespace msb {
namespace {

uint64_t StartTicksOf(int pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  for (int number = 3; number <= 22; ++number) fields >> field;
  return std::stoull(field);
}

LaunchedVmm Handle(int pid) {
  return {.process = {.pid = pid, .start_time_ticks = StartTicksOf(pid)},
          .pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)))};
}

}  // namespace

FakeProcess::FakeProcess() {
  // It waits for its input, which ends with us whatever happens.
  int input[2];
  MSB_CHECK(::pipe2(input, O_CLOEXEC) == 0);
  alive_ = UniqueFd(input[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input[0], 0);
  ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  std::string program = "/bin/cat";
  char* argv[] = {program.data(), nullptr};
  MSB_CHECK(::posix_spawn(&pid_, argv[0], &actions, nullptr, argv, environ) == 0);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(input[0]);
}

FakeProcess::~FakeProcess() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

FakeMachine::FakeMachine(const LaunchPlan& plan, const LaunchSpec& spec)
    : plan_(plan), spec_(spec) {
  vmm_ = std::make_unique<FakeVmm>(plan.control_socket);
  agent_ = std::make_unique<FakeAgent>(plan.vsock_socket);
  agent_->OnShutdown([this](const auto&) { End(Reason::kGuestShutdown, "powered off"); });
}

FakeMachine::~FakeMachine() = default;

void FakeMachine::Boot() {
  using msb::vmm::v1::VmEvent;
  vmm_->Emit(VmEvent::KIND_MACHINE_READY);
  vmm_->Emit(VmEvent::KIND_AGENT_STARTED);
  vmm_->Emit(VmEvent::KIND_ROOT_MOUNTED);
  vmm_->Emit(VmEvent::KIND_AGENT_READY);
}

void FakeMachine::End(Reason reason, const std::string& detail) {
  if (reason != Reason::kUnspecified) {
    msb::vmm::v1::VmEvent event;
    event.set_kind(msb::vmm::v1::VmEvent::KIND_ENDED);
    event.set_reason(static_cast<int>(reason));
    event.set_detail(detail);
    std::string frame;
    AppendFrame(event.SerializeAsString(), frame);
    std::ofstream(plan_.exit_event, std::ios::binary) << frame;
  }
  ::kill(pid(), SIGKILL);
}

LaunchPlan FakeLauncher::Plan(absl::string_view id, uint32_t slot) const {
  LaunchPlan plan;
  plan.id = std::string(id);
  plan.runtime_directory = absl::StrCat(directory_, "/", id);
  plan.control_socket = plan.runtime_directory + "/control.sock";
  plan.vsock_socket = plan.runtime_directory + "/vsock.sock";
  plan.link_socket = plan.runtime_directory + "/link.sock";
  plan.console_log = absl::StrCat(directory_, "/", id, ".console.log");
  plan.vmm_log = absl::StrCat(directory_, "/", id, ".vmm.log");
  plan.exit_event = plan.runtime_directory + "/exit-event";
  plan.cgroup = std::string(id);
  plan.uid = 100'000 + slot;
  plan.guest_cid = 3 + slot;
  return plan;
}

absl::StatusOr<LaunchedVmm> FakeLauncher::Launch(const LaunchSpec& spec) {
  if (before_launch) {
    if (absl::Status status = before_launch(spec); !status.ok()) return status;
  }
  const LaunchPlan plan = Plan(spec.id, spec.slot);
  std::filesystem::create_directories(plan.runtime_directory);
  std::ofstream(plan.console_log, std::ios::app) << "console of " << spec.id << "\n";
  const auto machine = std::make_shared<FakeMachine>(plan, spec);
  {
    const std::lock_guard lock(mutex_);
    MSB_CHECK(machines_.emplace(plan.cgroup, machine).second);
  }
  LaunchedVmm vmm = Handle(machine->pid());
  for (const std::string& name : companions) vmm.companions.push_back(NewCompanion(plan, name));
  if (after_launch) after_launch(*machine);
  return vmm;
}

absl::StatusOr<LaunchedVmm> FakeLauncher::Adopt(const ProcessIdentity& process,
                                                const LaunchPlan& plan) {
  const std::lock_guard lock(mutex_);
  const auto it = machines_.find(plan.cgroup);
  if (it == machines_.end() || it->second->pid() != process.pid ||
      ::waitpid(process.pid, nullptr, WNOHANG) != 0 ||
      StartTicksOf(process.pid) != process.start_time_ticks) {
    return MakeError(Reason::kVmmDied, "the VMM is gone");
  }
  return Handle(process.pid);
}

absl::StatusOr<std::optional<int>> FakeLauncher::CleanUp(const LaunchPlan& plan) {
  std::shared_ptr<FakeMachine> machine;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = companions_.begin(); it != companions_.end();) {
      const bool ours = it->first.rfind(PathsOf(plan, "").cgroup, 0) == 0;
      it = ours ? companions_.erase(it) : std::next(it);
    }
    if (const auto it = machines_.find(plan.cgroup); it != machines_.end()) {
      machine = std::move(it->second);
      machines_.erase(it);
    }
  }
  machine.reset();
  std::filesystem::remove_all(plan.runtime_directory);
  return wait_status;
}

LaunchedCompanion FakeLauncher::NewCompanion(const LaunchPlan& plan, const std::string& name) {
  const std::lock_guard lock(mutex_);
  Companion& companion = companions_[PathsOf(plan, name).cgroup];
  companion = {.process = std::make_shared<FakeProcess>(), .end = {}};
  LaunchedVmm handle = Handle(companion.process->pid());
  return {.name = name, .process = handle.process, .pidfd = std::move(handle.pidfd)};
}

absl::Status FakeLauncher::CheckSources(const LaunchPlan&, const CompanionSpec& spec) {
  return check_sources ? check_sources(spec) : absl::OkStatus();
}

absl::StatusOr<Launcher::StartedCompanion> FakeLauncher::StartCompanion(const LaunchPlan& plan,
                                                                        const CompanionSpec& spec) {
  if (before_companion) before_companion(spec);
  StartedCompanion started;
  started.companion = NewCompanion(plan, spec.name);
  int ends[2];
  MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  started.vmm_socket = UniqueFd(ends[0]);
  ::close(ends[1]);  // nobody serves it
  return started;
}

absl::StatusOr<LaunchedCompanion> FakeLauncher::AdoptCompanion(absl::string_view name,
                                                               const ProcessIdentity& process,
                                                               const LaunchPlan& plan) {
  const std::lock_guard lock(mutex_);
  const auto it = companions_.find(PathsOf(plan, name).cgroup);
  if (it == companions_.end() || it->second.process->pid() != process.pid ||
      !it->second.end.detail.empty()) {
    return MakeError(Reason::kCompanionDied, absl::StrCat(name, " is gone"));
  }
  LaunchedVmm handle = Handle(process.pid);
  return LaunchedCompanion{
      .name = std::string(name), .process = process, .pidfd = std::move(handle.pidfd)};
}

absl::StatusOr<CompanionEnd> FakeLauncher::EndCompanion(const LaunchPlan& plan,
                                                        absl::string_view name) {
  if (before_end) before_end();
  const std::lock_guard lock(mutex_);
  auto node = companions_.extract(PathsOf(plan, name).cgroup);
  return node.empty() ? CompanionEnd() : node.mapped().end;
}

void FakeLauncher::EndOfCompanion(const std::string& id, const std::string& name, bool orderly,
                                  const std::string& detail) {
  const std::lock_guard lock(mutex_);
  Companion& companion = companions_.at(PathsOf(Plan(id, 0), name).cgroup);
  companion.end = {.orderly = orderly, .oom_killed = false, .detail = detail};
  ::kill(companion.process->pid(), SIGKILL);
}

bool FakeLauncher::HasCompanion(const LaunchPlan& plan, absl::string_view name) {
  const std::lock_guard lock(mutex_);
  return companions_.contains(PathsOf(plan, name).cgroup);
}

absl::Status FakeLauncher::RemoveLogs(const LaunchPlan& plan) {
  std::filesystem::remove(plan.console_log);
  return absl::OkStatus();
}

absl::StatusOr<Launcher::Usage> FakeLauncher::ReadUsage(const LaunchPlan&) const { return usage; }

std::shared_ptr<FakeMachine> FakeLauncher::Find(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto it = machines_.find(id);
  return it == machines_.end() ? nullptr : it->second;
}

size_t FakeLauncher::machines() {
  const std::lock_guard lock(mutex_);
  return machines_.size();
}

}  // namespace msb
