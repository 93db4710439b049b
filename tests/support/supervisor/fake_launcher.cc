// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/supervisor/fake_launcher.h"

#include <fcntl.h>
#include <spawn.h>
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

FakeMachine::FakeMachine(const LaunchPlan& plan, const LaunchSpec& spec)
    : plan_(plan), spec_(spec) {
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
  vmm_ = std::make_unique<FakeVmm>(plan.control_socket);
  agent_ = std::make_unique<FakeAgent>(plan.vsock_socket);
  agent_->OnShutdown([this](uint32_t) { End(Reason::kGuestShutdown, "powered off"); });
}

FakeMachine::~FakeMachine() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

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
  ::kill(pid_, SIGKILL);
}

LaunchPlan FakeLauncher::Plan(absl::string_view id, uint32_t slot) const {
  LaunchPlan plan;
  plan.runtime_directory = absl::StrCat(directory_, "/", id);
  plan.control_socket = plan.runtime_directory + "/control.sock";
  plan.vsock_socket = plan.runtime_directory + "/vsock.sock";
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

absl::Status FakeLauncher::CleanUp(const LaunchPlan& plan) {
  std::shared_ptr<FakeMachine> machine;
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = machines_.find(plan.cgroup); it != machines_.end()) {
      machine = std::move(it->second);
      machines_.erase(it);
    }
  }
  machine.reset();
  std::filesystem::remove_all(plan.runtime_directory);
  return absl::OkStatus();
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
