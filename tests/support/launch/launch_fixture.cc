// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/launch/launch_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/frames.h"
#include "base/unix_socket.h"
#include "supervisor/launch/cgroup.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

namespace pb = msb::vmm::v1;

constexpr uint32_t kMemoryMib = 64;
constexpr absl::Duration kAnswerTimeout = absl::Seconds(60);

}  // namespace

LaunchFixture::LaunchFixture() {
  options_.jailer_path = MSB_JAILER_PATH;
  options_.vmm_path = MSB_FAKE_VMM_PATH;
  options_.runtime_root = folder_.path() + "/run";
  options_.qemu_directory = folder_.path() + "/qemu";
  options_.cgroup_parent = absl::StrCat("msb-launch-test-", ::getpid());
  options_.qemu_overhead_mib = 32;
}

void LaunchFixture::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_OK_AND_ASSIGN(layout_, DetectCgroupLayout());
  if (const std::string missing = layout_.MissingControllers(); !missing.empty()) {
    GTEST_SKIP() << "no cgroup controller " << missing;
  }
  std::filesystem::create_directory(options_.qemu_directory);
  folder_.Write("vmlinux", "kernel");
  folder_.Write("initramfs", "agent");
  folder_.Write("image", std::string(4096, 'i'));
  launcher_ = NewLauncher();
}

void LaunchFixture::TearDown() {
  if (launcher_ == nullptr) return;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(options_.runtime_root, ignored)) {
    const LaunchPlan plan = launcher_->Plan(entry.path().filename().string(), 0);
    EXPECT_OK(launcher_->CleanUp(plan).status());
    EXPECT_OK(launcher_->RemoveLogs(plan));
  }
  for (const CgroupHierarchy& hierarchy : layout_.hierarchies) {
    const std::string parent = absl::StrCat(hierarchy.mount, "/", options_.cgroup_parent);
    EXPECT_TRUE(::rmdir(parent.c_str()) == 0 || errno == ENOENT) << parent << " is not empty";
  }
}

std::unique_ptr<JailedLauncher> LaunchFixture::NewLauncher() {
  auto launcher = JailedLauncher::Create(options_);
  EXPECT_OK(launcher);
  return launcher.ok() ? *std::move(launcher) : nullptr;
}

LaunchSpec LaunchFixture::SpecOf(int number) {
  const std::string disk = absl::StrCat("disk", number);
  if (!std::filesystem::exists(folder_.path() + "/" + disk)) {
    folder_.Write(disk, std::string(4096, 'd'));
  }
  LaunchSpec spec;
  spec.id = absl::StrCat("box", number);
  spec.slot = static_cast<uint32_t>(number);
  spec.engine = pb::ENGINE_QEMU;
  spec.memory_mib = kMemoryMib;
  spec.kernel_path = folder_.path() + "/vmlinux";
  spec.initramfs_path = folder_.path() + "/initramfs";
  spec.disks = {{.id = "root", .path = folder_.path() + "/image"},
                {.id = "layer", .path = folder_.path() + "/" + disk, .read_only = false}};
  return spec;
}

CompanionSpec LaunchFixture::CompanionOf(const std::string& name,
                                         const std::vector<std::string>& arguments) {
  CompanionSpec spec;
  spec.name = name;
  spec.executable = MSB_FAKE_COMPANION_PATH;
  spec.arguments = arguments;
  spec.own_user = name == "net" ? 0 : 1;
  return spec;
}

absl::StatusOr<pb::ControlResponse> LaunchFixture::Ask(const LaunchPlan& plan,
                                                       const pb::ControlRequest& request) {
  const absl::Time deadline = absl::Now() + kAnswerTimeout;
  MSB_ASSIGN_OR_RETURN(const UniqueFd socket, ConnectUnix(plan.control_socket, Blocking::kYes));
  MSB_RETURN_IF_ERROR(WriteFrame(socket.get(), request.SerializeAsString(), deadline));
  MSB_ASSIGN_OR_RETURN(const auto frame, ReadFrame(socket.get(), deadline));
  pb::ControlResponse response;
  if (!frame || !response.ParseFromString(*frame)) return absl::InternalError("no answer");
  return response;
}

absl::StatusOr<pb::ControlResponse> LaunchFixture::AskStatus(const LaunchPlan& plan) {
  pb::ControlRequest request;
  request.set_id(7);
  request.mutable_status();
  return Ask(plan, request);
}

std::set<std::string> LaunchFixture::CgroupFolders(const LaunchPlan& plan) const {
  std::set<std::string> folders;
  for (const CgroupHierarchy& hierarchy : layout_.hierarchies) {
    const std::string folder = absl::StrCat(hierarchy.mount, "/", plan.cgroup);
    if (std::filesystem::exists(folder)) folders.insert(folder);
    std::error_code ignored;
    const std::filesystem::path parent = std::filesystem::path(folder).parent_path();
    for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
      if (absl::StartsWith(entry.path().string(), folder + "+")) folders.insert(entry.path());
    }
  }
  return folders;
}

void LaunchFixture::ExpectCleared(const LaunchPlan& plan) const {
  EXPECT_TRUE(CgroupFolders(plan).empty());
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(plan.runtime_directory, ignored)) {
    EXPECT_EQ(entry.path().extension(), ".log") << entry.path();
  }
}

int LaunchFixture::CountOpenDescriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<int>(std::distance(begin(entries), end(entries)));
}

}  // namespace msb
