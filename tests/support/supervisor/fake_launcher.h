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

// A process that only waits.
class FakeProcess {
 public:
  FakeProcess();
  ~FakeProcess();
  int pid() const { return pid_; }

 private:
  int pid_ = 0;
  UniqueFd alive_;
};

// One "machine". Lives until the launcher clears up behind it.
class FakeMachine {
 public:
  FakeMachine(const LaunchPlan& plan, const LaunchSpec& spec);
  ~FakeMachine();

  FakeVmm& vmm() { return *vmm_; }
  FakeAgent& agent() { return *agent_; }
  const LaunchSpec& spec() const { return spec_; }
  int pid() const { return process_.pid(); }
  void Boot();
  // The VMM ends by itself: with an exit event, unless `reason` is kUnspecified.
  void End(Reason reason, const std::string& detail);

 private:
  const LaunchPlan plan_;
  const LaunchSpec spec_;
  const FakeProcess process_;
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
  absl::StatusOr<std::optional<int>> CleanUp(const LaunchPlan& plan) override;
  absl::Status RemoveLogs(const LaunchPlan& plan) override;
  absl::Status CheckSources(const LaunchPlan& plan, const CompanionSpec& spec) override;
  absl::StatusOr<StartedCompanion> StartCompanion(const LaunchPlan& plan,
                                                  const CompanionSpec& spec) override;
  absl::StatusOr<LaunchedCompanion> AdoptCompanion(absl::string_view name,
                                                   const ProcessIdentity& process,
                                                   const LaunchPlan& plan) override;
  absl::StatusOr<CompanionEnd> EndCompanion(const LaunchPlan& plan,
                                            absl::string_view name) override;
  absl::StatusOr<Usage> ReadUsage(const LaunchPlan& plan) const override;

  // What the next launches do: called in Launch before and after the process is made.
  std::function<absl::Status(const LaunchSpec&)> before_launch;
  std::function<absl::Status(const CompanionSpec&)> check_sources;
  std::function<void(const CompanionSpec&)> before_companion;  // in StartCompanion
  std::function<void()> before_end;                            // in EndCompanion
  std::function<void(FakeMachine&)> after_launch = [](FakeMachine& machine) { machine.Boot(); };
  Usage usage;
  std::optional<int> wait_status;  // what CleanUp says

  // Names of the companions that each launch makes, whatever its specification says.
  std::vector<std::string> companions;
  // One of a sandbox ends by itself.
  void EndOfCompanion(const std::string& id, const std::string& name, bool orderly,
                      const std::string& detail);

  bool HasCompanion(const LaunchPlan& plan, absl::string_view name);

  // nullptr when the sandbox has no VMM.
  std::shared_ptr<FakeMachine> Find(const std::string& id);
  size_t machines();

 private:
  struct Companion {
    std::shared_ptr<FakeProcess> process;
    CompanionEnd end;
  };
  LaunchedCompanion NewCompanion(const LaunchPlan& plan, const std::string& name);

  const std::string directory_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<FakeMachine>> machines_;  // by cgroup
  std::map<std::string, Companion> companions_;                   // by cgroup
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_LAUNCHER_H_
