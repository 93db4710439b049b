// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/daemon/launch_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisor/config/settings.h"

namespace msb {
namespace {

TEST(LaunchSettingsTest, TheDefaultsAreTheLaunchersOwn) {
  const LaunchOptions options = LaunchOptionsOf(DefaultConfig(), {});
  const LaunchOptions own;

  EXPECT_EQ(options.cgroup_parent, own.cgroup_parent);
  EXPECT_EQ(options.cgroup_policy, own.cgroup_policy);
  EXPECT_EQ(options.seccomp, own.seccomp);
  EXPECT_EQ(options.base_uid, own.base_uid);
  EXPECT_EQ(options.kvm_overhead_mib, own.kvm_overhead_mib);
  EXPECT_EQ(options.qemu_overhead_mib, own.qemu_overhead_mib);
}

TEST(LaunchSettingsTest, EverySettingOfTheJailReachesTheLauncher) {
  Config config = DefaultConfig();
  config.jail = {.cgroup_parent = "other",
                 .cgroups = "available",
                 .seccomp = "off-for-debugging",
                 .base_uid = 4711,
                 .kvm_overhead_mib = 17,
                 .qemu_overhead_mib = 71};

  const LaunchOptions options = LaunchOptionsOf(config, {});

  EXPECT_EQ(options.cgroup_parent, "other");
  EXPECT_EQ(options.cgroup_policy, CgroupPolicy::kAsAvailable);
  EXPECT_EQ(options.seccomp, SeccompUse::kOffForDebugging);
  EXPECT_EQ(options.base_uid, 4711u);
  EXPECT_EQ(options.kvm_overhead_mib, 17u);
  EXPECT_EQ(options.qemu_overhead_mib, 71u);
}

TEST(LaunchSettingsTest, WithoutAQemuTheLauncherHasNoFolderForIt) {
  Config config = DefaultConfig();
  config.daemon.assets_directory = "/assets";
  EXPECT_EQ(LaunchOptionsOf(config, {}).qemu_directory, "/assets/qemu");
  EXPECT_EQ(LaunchOptionsOf(config, {.qemu_problem = "not there"}).qemu_directory, "");
}

}  // namespace
}  // namespace msb
