// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Whole launches with the real jailer and the fake VMM. Whatever a test leaves is cleared up, and a
// test that leaves something which CleanUp should have removed fails.

#ifndef MSB_TESTS_SUPPORT_LAUNCH_LAUNCH_FIXTURE_H_
#define MSB_TESTS_SUPPORT_LAUNCH_LAUNCH_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "msb/vmm/v1/control.pb.h"
#include "supervisor/launch/cgroup_layout.h"
#include "supervisor/launch/jailed_launcher.h"
#include "tests/support/temp_dir.h"

namespace msb {

class LaunchFixture : public testing::Test {
 protected:
  LaunchFixture();
  void SetUp() override;
  void TearDown() override;

  // The launcher of most tests, made by SetUp from `options_`.
  JailedLauncher& launcher() { return *launcher_; }
  std::unique_ptr<JailedLauncher> NewLauncher();

  // One that can be launched: engine qemu, for which the fake VMM needs nothing. Numbers make ids,
  // slots and disks; each sandbox has a read-only disk and a writable one.
  LaunchSpec SpecOf(int number);

  // One that sends back what it gets (fake_companion.cc).
  static CompanionSpec CompanionOf(const std::string& name,
                                   const std::vector<std::string>& arguments = {});

  // Answers of a VMM's control socket.
  static absl::StatusOr<msb::vmm::v1::ControlResponse> Ask(
      const LaunchPlan& plan, const msb::vmm::v1::ControlRequest& request);
  static absl::StatusOr<msb::vmm::v1::ControlResponse> AskStatus(const LaunchPlan& plan);

  std::set<std::string> CgroupFolders(const LaunchPlan& plan) const;
  // Nothing of the sandbox is there but, perhaps, its logs.
  void ExpectCleared(const LaunchPlan& plan) const;
  static int CountOpenDescriptors();

  TempDir folder_;
  LaunchOptions options_;

  CgroupLayout layout_;

 private:
  std::unique_ptr<JailedLauncher> launcher_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_LAUNCH_LAUNCH_FIXTURE_H_
