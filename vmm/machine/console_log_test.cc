// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/machine/console_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <optional>
#include <string>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

constexpr uint64_t kLimit = ConsoleLog::kMinLimitBytes;

class ConsoleLogTest : public ::testing::Test {
 protected:
  UniqueFd Open() {
    return UniqueFd(::open((dir_.path() + "/log").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  }
  void Start() {
    ASSERT_OK_AND_ASSIGN(ConsoleLog log, ConsoleLog::Create(Open(), kLimit));
    log_.emplace(std::move(log));
  }
  // Bytes that tell their place: the number of each line stands in it.
  static std::string Lines(int first, int count) {
    std::string text;
    for (int i = first; i < first + count; ++i) {
      std::string line = std::to_string(i);
      line.resize(15, '.');
      text += line + "\n";
    }
    return text;
  }
  std::string File() { return dir_.Read("log"); }

  TempDir dir_;
  std::optional<ConsoleLog> log_;
};

TEST_F(ConsoleLogTest, KeepsEverythingUpToItsLimit) {
  Start();
  const std::string text = Lines(0, kLimit / 16);
  ASSERT_OK(log_->Append(text.substr(0, 100)));
  ASSERT_OK(log_->Append(text.substr(100)));
  EXPECT_EQ(File(), text);
  EXPECT_EQ(log_->total_bytes(), kLimit);
}

TEST_F(ConsoleLogTest, KeepsTheNewestBytesAtTheOffsetThatItsHeaderPromises) {
  const std::string text = Lines(0, 5000);
  for (const size_t piece : {1u, 7u, 1000u, 80'000u}) {
    std::filesystem::remove(dir_.path() + "/log");
    Start();
    for (size_t at = 0; at < text.size(); at += piece) {
      ASSERT_OK(log_->Append(absl::string_view(text).substr(at, piece)));
    }
    const uint64_t half = kLimit / 2;
    const uint64_t dropped = (text.size() - kLimit + half - 1) / half * half;
    EXPECT_EQ(File(), text.substr(dropped));
    EXPECT_GT(File().size(), half);
    EXPECT_LE(File().size(), kLimit);
    EXPECT_EQ(log_->total_bytes(), text.size());
  }
}

TEST_F(ConsoleLogTest, AReaderThatFollowsLosesNothing) {
  Start();
  const UniqueFd reader = Open();
  std::string seen;
  off_t offset = 0;
  const auto follow = [&] {
    struct stat status;
    ASSERT_EQ(::fstat(reader.get(), &status), 0);
    if (status.st_size < offset) offset -= kLimit / 2;
    ASSERT_GE(offset, 0);
    char buffer[kLimit];
    const ssize_t got = ::pread(reader.get(), buffer, sizeof(buffer), offset);
    ASSERT_GE(got, 0);
    seen.append(buffer, static_cast<size_t>(got));
    offset += got;
  };
  const std::string text = Lines(0, 3000);
  for (size_t at = 0; at < text.size(); at += 777) {
    ASSERT_OK(log_->Append(absl::string_view(text).substr(at, 777)));
    follow();
  }
  EXPECT_EQ(seen, text);
}

TEST_F(ConsoleLogTest, GoesOnBehindWhatTheFileHolds) {
  dir_.Write("log", Lines(0, 10));
  Start();
  ASSERT_OK(log_->Append(Lines(10, 10)));
  EXPECT_EQ(File(), Lines(0, 20));
  EXPECT_EQ(log_->total_bytes(), 320u);
}

TEST_F(ConsoleLogTest, CutsAFileThatIsLongerThanItsLimit) {
  const std::string text = Lines(0, 1000);
  dir_.Write("log", text);
  Start();
  ASSERT_OK(log_->Append("x"));
  EXPECT_EQ(File(), text.substr(text.size() - kLimit / 2) + "x");
}

TEST_F(ConsoleLogTest, SurvivesAFileThatCannotBeWritten) {
  dir_.Write("log", "");
  UniqueFd read_only(::open((dir_.path() + "/log").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_OK_AND_ASSIGN(ConsoleLog log, ConsoleLog::Create(std::move(read_only), kLimit));
  EXPECT_THAT(log.Append("x"), HasReason(Reason::kHostError));
  EXPECT_EQ(log.total_bytes(), 0u);
}

TEST_F(ConsoleLogTest, RefusesWhatIsNoFile) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const UniqueFd reader(pipe[0]);
  EXPECT_THAT(ConsoleLog::Create(UniqueFd(pipe[1]), kLimit), HasReason(Reason::kVmSpecInvalid));
}

}  // namespace
}  // namespace msb
