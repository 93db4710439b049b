// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/console_log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <optional>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

constexpr uint64_t kLimit = 100;

TEST(ConsoleLogReaderTest, ReadsAllOrATailAndThenWhatComes) {
  const TempDir dir;
  dir.Write("console.log", "hello world");
  ConsoleLogReader all(dir.path() + "/console.log", kLimit, 0);
  ConsoleLogReader tail(dir.path() + "/console.log", kLimit, 5);
  EXPECT_EQ(*all.Read(), "hello world");
  EXPECT_EQ(*tail.Read(), "world");
  EXPECT_EQ(*all.Read(), "");
  std::ofstream(dir.path() + "/console.log", std::ios::app) << "!";
  EXPECT_EQ(*all.Read(), "!");
}

TEST(ConsoleLogReaderTest, AMissingFileIsEmptyUntilItIsThere) {
  const TempDir dir;
  ConsoleLogReader reader(dir.path() + "/console.log", kLimit, 0);
  EXPECT_EQ(*reader.Read(), "");
  dir.Write("console.log", "x");
  EXPECT_EQ(*reader.Read(), "x");
}

TEST(ConsoleLogReaderTest, GoesOnBehindARewindWithoutLossOrRepetition) {
  const TempDir dir;
  const std::string first(100, 'a');
  dir.Write("console.log", first);
  ConsoleLogReader reader(dir.path() + "/console.log", kLimit, 0);
  EXPECT_EQ(*reader.Read(), first);
  // As the VMM does it, in place: the last half, then what is new.
  {
    std::fstream file(dir.path() + "/console.log", std::ios::in | std::ios::out);
    file << std::string(50, 'a') << "new";
  }
  std::filesystem::resize_file(dir.path() + "/console.log", 53);
  EXPECT_EQ(*reader.Read(), "new");
  EXPECT_EQ(*reader.Read(), "");
}

// A follower on a loop that the test turns.
class ConsoleFollowerTest : public testing::Test {
 protected:
  ConsoleFollowerTest() : loop_(*EventLoop::Create()), path_(dir_.path() + "/console.log") {}

  std::shared_ptr<ConsoleFollower> Follow(ConsoleFollower::Follow follow) {
    return ConsoleFollower::Start(*loop_, ConsoleLogReader(path_, kLimit, 0), follow);
  }
  void Ask(const std::shared_ptr<ConsoleFollower>& follower) {
    piece_.reset();
    follower->Next([this](absl::StatusOr<std::string> piece) {
      piece_ = *piece;
      loop_->Stop();
    });
  }

  const TempDir dir_;
  const std::unique_ptr<EventLoop> loop_;
  const std::string path_;
  std::optional<std::string> piece_;
};

TEST_F(ConsoleFollowerTest, WithoutFollowingTheEndIsTheEnd) {
  dir_.Write("console.log", "all");
  const auto follower = Follow(ConsoleFollower::Follow::kToTheEnd);
  Ask(follower);
  ASSERT_OK(loop_->Run());
  EXPECT_EQ(piece_, "all");
  Ask(follower);
  ASSERT_OK(loop_->Run());
  EXPECT_EQ(piece_, "");
}

TEST_F(ConsoleFollowerTest, AWriteWakesWhoFollows) {
  dir_.Write("console.log", "");
  const auto follower = Follow(ConsoleFollower::Follow::kWhatComes);
  Ask(follower);
  loop_->Post([this] { std::ofstream(path_, std::ios::app) << "news"; });
  ASSERT_OK(loop_->Run());
  EXPECT_EQ(piece_, "news");
}

TEST_F(ConsoleFollowerTest, AFileThatIsMadeLaterIsFoundWhenToldToLook) {
  const auto follower = Follow(ConsoleFollower::Follow::kWhatComes);
  Ask(follower);
  loop_->Post([&] {
    dir_.Write("console.log", "boot");
    follower->LookAgain();
  });
  ASSERT_OK(loop_->Run());
  EXPECT_EQ(piece_, "boot");
}

TEST_F(ConsoleFollowerTest, FinishEndsAWaitingRead) {
  dir_.Write("console.log", "");
  const auto follower = Follow(ConsoleFollower::Follow::kWhatComes);
  Ask(follower);
  loop_->Post([&] { follower->Finish(); });
  ASSERT_OK(loop_->Run());
  EXPECT_EQ(piece_, "");
}

}  // namespace
}  // namespace msb
