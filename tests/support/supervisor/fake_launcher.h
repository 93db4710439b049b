// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A launcher whose VMMs are processes that only wait, with a fake control socket and a fake agent.

#ifndef MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_LAUNCHER_H_
#define MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_LAUNCHER_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/error.h"
#include "supervisor/launch/launcher.h"
#include "tests/support/supervisor/fake_agent.h"
#include "tests/support/supervisor/fake_vmm.h"

namespace msb {

// One "machine". Lives until the launcher clears up behind it.
class FakeMachine {
 public:
  FakeMachine(const LaunchPlan& plan, const LaunchSpec& spec);
  ~FakeMachine();

  FakeVmm& vmm() { return *vmm_; }
  FakeAgent& agent() { return *agent_; }
  const LaunchSpec& spec() const { return spec_; }
  int pid() const { return pid_; }
  void Boot();
  // The VMM ends by itself: with an exit event, unless `reason` is kUnspecified.
  void End(Reason reason, const std::string& detail);

 private:
  const LaunchPlan plan_;
  const LaunchSpec spec_;
  int pid_ = 0;
  UniqueFd alive_;
  std::unique_ptr<FakeVmm> vmm_;
  std::unique_ptr<FakeAgent> agent_;
};

class FakeLauncher : public Launcher {
 public:
  explicit FakeLauncher(std::string directory) : directory_(std::move(directory)) {}

  LaunchPlan Plan(absl::string_view id, uint32_t slot) const override;
  absl::StatusOr<LaunchedVmm> Launch(const LaunchSpec& spec) override;
  absl::StatusOr<LaunchedVmm> Adopt(const ProcessIdentity& process,
                                    const LaunchPlan& plan) override;
  absl::Status CleanUp(const LaunchPlan& plan) override;
  absl::Status RemoveLogs(const LaunchPlan& plan) override;
  absl::StatusOr<Usage> ReadUsage(const LaunchPlan& plan) const override;

  // What the next launches do: called in Launch before and after the process is made.
  std::function<absl::Status(const LaunchSpec&)> before_launch;
  std::function<void(FakeMachine&)> after_launch = [](FakeMachine& machine) { machine.Boot(); };
  Usage usage;

  // nullptr when the sandbox has no VMM.
  std::shared_ptr<FakeMachine> Find(const std::string& id);
  size_t machines();

 private:
  const std::string directory_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<FakeMachine>> machines_;  // by cgroup
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_LAUNCHER_H_
