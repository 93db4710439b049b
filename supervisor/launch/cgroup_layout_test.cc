// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/cgroup_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string Line(absl::string_view root, absl::string_view mount, absl::string_view type,
                 absl::string_view options) {
  return absl::StrCat("36 31 0:33 ", root, " ", mount, " rw,relatime shared:9 - ", type, " ", type,
                      " rw,", options, "\n");
}

TEST(CgroupLayoutTest, ReadsV1WithAMountForEachController) {
  ASSERT_OK_AND_ASSIGN(
      const CgroupLayout layout,
      ParseCgroupLayout(Line("/", "/sys/fs/cgroup/memory", "cgroup", "memory") +
                        Line("/", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "cpu,cpuacct") +
                        Line("/", "/sys/fs/cgroup/pids", "cgroup", "pids") +
                        Line("/", "/sys/fs/cgroup/systemd", "cgroup", "name=systemd") +
                        Line("/", "/sys/fs/cgroup/freezer", "cgroup", "freezer")));

  ASSERT_EQ(layout.hierarchies.size(), 3u);
  EXPECT_EQ(layout.MissingControllers(), "");
  EXPECT_EQ(layout.WithController("memory")->mount, "/sys/fs/cgroup/memory");
  EXPECT_EQ(layout.WithController("cpu"), layout.WithController("cpuacct"));
  EXPECT_THAT(layout.WithController("cpu")->controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(layout.V2(), nullptr);
}

TEST(CgroupLayoutTest, ReadsV2AndItsControllers) {
  TempDir mount;
  mount.Write("cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n");

  ASSERT_OK_AND_ASSIGN(const CgroupLayout layout,
                       ParseCgroupLayout(Line("/", mount.path(), "cgroup2", "nsdelegate")));

  ASSERT_NE(layout.V2(), nullptr);
  EXPECT_THAT(layout.V2()->controllers, ElementsAre("memory", "cpu", "pids"));
  EXPECT_EQ(layout.MissingControllers(), "");
}

TEST(CgroupLayoutTest, KeepsAV2HierarchyWithoutControllersBesideV1) {
  TempDir mount;
  mount.Write("cgroup.controllers", "hugetlb\n");

  ASSERT_OK_AND_ASSIGN(const CgroupLayout layout,
                       ParseCgroupLayout(Line("/", "/sys/fs/cgroup/memory", "cgroup", "memory") +
                                         Line("/", mount.path(), "cgroup2", "")));

  ASSERT_NE(layout.V2(), nullptr);
  EXPECT_THAT(layout.V2()->controllers, IsEmpty());
  EXPECT_EQ(layout.WithController("memory")->version, CgroupVersion::kV1);
  EXPECT_EQ(layout.MissingControllers(), "cpu, pids");
}

TEST(CgroupLayoutTest, PassesOverPartsAndSecondMountsOfAHierarchy) {
  ASSERT_OK_AND_ASSIGN(const CgroupLayout layout,
                       ParseCgroupLayout(Line("/part", "/bind", "cgroup", "memory") +
                                         Line("/", "/first", "cgroup", "memory") +
                                         Line("/", "/second", "cgroup", "memory")));

  ASSERT_EQ(layout.hierarchies.size(), 1u);
  EXPECT_EQ(layout.hierarchies[0].mount, "/first");
}

TEST(CgroupLayoutTest, UnderstandsEscapesInPaths) {
  ASSERT_OK_AND_ASSIGN(const CgroupLayout layout,
                       ParseCgroupLayout(Line("/", "/a\\040b\\134c", "cgroup", "memory")));

  ASSERT_EQ(layout.hierarchies.size(), 1u);
  EXPECT_EQ(layout.hierarchies[0].mount, "/a b\\c");
}

TEST(CgroupLayoutTest, IsEmptyOnAHostWithoutCgroups) {
  ASSERT_OK_AND_ASSIGN(const CgroupLayout layout,
                       ParseCgroupLayout("22 27 0:21 / /proc rw - proc proc rw\n\nnonsense\n"));

  EXPECT_THAT(layout.hierarchies, IsEmpty());
  EXPECT_EQ(layout.MissingControllers(), "memory, cpu, pids");
}

}  // namespace
}  // namespace msb
