// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/runtime_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/unix_socket.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

class RuntimeFilesTest : public testing::Test {
 protected:
  RuntimeFilesTest() {
    plan_.runtime_directory = folder_.path() + "/a/b/box";
    plan_.control_socket = plan_.runtime_directory + "/control.sock";
    plan_.vsock_socket = plan_.runtime_directory + "/vsock.sock";
    plan_.link_socket = plan_.runtime_directory + "/link.sock";
    plan_.console_log = plan_.runtime_directory + "/console.log";
    plan_.vmm_log = plan_.runtime_directory + "/vmm.log";
    plan_.exit_event = plan_.runtime_directory + "/exit_event";
  }
  TempDir folder_;
  LaunchPlan plan_;
};

TEST_F(RuntimeFilesTest, MakesSocketsThatTakeConnections) {
  ASSERT_OK_AND_ASSIGN(const RuntimeFiles files, MakeRuntimeFiles(plan_));

  EXPECT_OK(ConnectUnix(plan_.control_socket, Blocking::kYes));
  EXPECT_OK(ConnectUnix(plan_.vsock_socket, Blocking::kYes));
}

TEST_F(RuntimeFilesTest, NobodyElseCanReadThem) {
  ASSERT_OK_AND_ASSIGN(const RuntimeFiles files, MakeRuntimeFiles(plan_));

  struct stat info {};
  ASSERT_EQ(::stat(plan_.runtime_directory.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  for (const std::string& path : {plan_.console_log, plan_.vmm_log, plan_.exit_event,
                                  plan_.control_socket, plan_.vsock_socket, plan_.link_socket}) {
    ASSERT_EQ(::stat(path.c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << path;
  }
}

TEST_F(RuntimeFilesTest, EmptiesTheLogsOfAnEarlierRun) {
  ASSERT_OK_AND_ASSIGN(RuntimeFiles files, MakeRuntimeFiles(plan_));
  ASSERT_EQ(::write(files.vmm_log.get(), "old", 3), 3);

  ASSERT_OK(MakeRuntimeFiles(plan_));

  EXPECT_EQ(std::filesystem::file_size(plan_.vmm_log), 0u);
}

TEST_F(RuntimeFilesTest, DoesNotFollowALinkInThePlaceOfALog) {
  ASSERT_OK(MakePrivateDirectory(plan_.runtime_directory));
  folder_.Write("victim", "content");
  std::filesystem::create_symlink(folder_.path() + "/victim", plan_.console_log);

  EXPECT_THAT(MakeRuntimeFiles(plan_), HasReason(Reason::kHostError));

  EXPECT_EQ(folder_.Read("victim"), "content");
}

TEST_F(RuntimeFilesTest, KeepsTheLogsUntilTheyAreRemoved) {
  ASSERT_OK(MakeRuntimeFiles(plan_));

  ASSERT_OK(RemoveRuntimeFiles(plan_));
  EXPECT_TRUE(std::filesystem::exists(plan_.console_log));
  EXPECT_FALSE(std::filesystem::exists(plan_.control_socket));
  ASSERT_OK(RemoveLogFiles(plan_));

  EXPECT_FALSE(std::filesystem::exists(plan_.runtime_directory));
}

TEST_F(RuntimeFilesTest, RemovesInEitherOrderAndTwice) {
  ASSERT_OK(MakeRuntimeFiles(plan_));

  EXPECT_OK(RemoveLogFiles(plan_));
  EXPECT_TRUE(std::filesystem::exists(plan_.control_socket));
  EXPECT_OK(RemoveRuntimeFiles(plan_));
  EXPECT_FALSE(std::filesystem::exists(plan_.runtime_directory));
  EXPECT_OK(RemoveRuntimeFiles(plan_));
  EXPECT_OK(RemoveLogFiles(plan_));
}

}  // namespace
}  // namespace msb
