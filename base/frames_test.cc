// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/unique_fd.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

std::string Frame(absl::string_view payload) {
  std::string out;
  AppendFrame(payload, out);
  return out;
}

std::pair<UniqueFd, UniqueFd> SocketPair() {
  int fds[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

TEST(FrameReaderTest, FindsFramesInBytesThatComeOneByOne) {
  const std::string stream = Frame("first") + Frame("") + Frame("third");
  FrameReader reader;
  std::vector<std::string> found;
  for (char byte : stream) {
    reader.Append(absl::string_view(&byte, 1));
    ASSERT_OK_AND_ASSIGN(auto frame, reader.Next());
    if (frame) found.emplace_back(*frame);
  }
  EXPECT_THAT(found, testing::ElementsAre("first", "", "third"));
  EXPECT_EQ(reader.buffered(), 0u);
}

TEST(FrameReaderTest, FindsSeveralFramesInOnePiece) {
  FrameReader reader;
  reader.Append(Frame("a") + Frame("b") + "\x05");
  ASSERT_OK_AND_ASSIGN(auto a, reader.Next());
  EXPECT_EQ(a, "a");
  ASSERT_OK_AND_ASSIGN(auto b, reader.Next());
  EXPECT_EQ(b, "b");
  ASSERT_OK_AND_ASSIGN(auto none, reader.Next());
  EXPECT_EQ(none, std::nullopt);
  EXPECT_EQ(reader.buffered(), 1u);
}

TEST(FrameReaderTest, RefusesAFrameOverTheMaximumBeforeItIsHeld) {
  FrameReader reader(/*max_frame_bytes=*/8);
  reader.Append(absl::string_view("\x09\x00\x00\x00", 4));

  EXPECT_EQ(ReasonOf(reader.Next().status()), Reason::kFrameTooLarge);
}

TEST(FrameIoTest, CarriesAFrameLargerThanTheSocketBuffer) {
  auto [left, right] = SocketPair();
  const std::string payload(kMaxFrameBytes, 'x');
  absl::Status written;
  std::thread writer(
      [&, fd = left.get()] { written = WriteFrame(fd, payload, absl::InfiniteFuture()); });
  ASSERT_OK_AND_ASSIGN(auto got, ReadFrame(right.get(), absl::InfiniteFuture()));
  writer.join();

  EXPECT_OK(written);
  EXPECT_EQ(got, payload);
}

TEST(FrameIoTest, TellsACleanEndFromACutFrame) {
  auto [left, right] = SocketPair();
  const std::string cut = Frame("whole") + Frame("cut").substr(0, 5);
  ASSERT_EQ(::write(left.get(), cut.data(), cut.size()), static_cast<ssize_t>(cut.size()));
  left.Reset();

  ASSERT_OK_AND_ASSIGN(auto whole, ReadFrame(right.get(), absl::InfiniteFuture()));
  EXPECT_EQ(whole, "whole");
  EXPECT_EQ(ReasonOf(ReadFrame(right.get(), absl::InfiniteFuture()).status()),
            Reason::kFrameTruncated);

  auto [other_left, other_right] = SocketPair();
  other_left.Reset();
  ASSERT_OK_AND_ASSIGN(auto end, ReadFrame(other_right.get(), absl::InfiniteFuture()));
  EXPECT_EQ(end, std::nullopt);
}

TEST(FrameIoTest, GivesUpAtTheDeadline) {
  auto [left, right] = SocketPair();

  const auto frame = ReadFrame(right.get(), absl::Now() + absl::Milliseconds(1));

  EXPECT_EQ(frame.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(FrameIoTest, WritingToAVanishedPeerIsAnErrorAndNoSignal) {
  auto [left, right] = SocketPair();
  right.Reset();

  EXPECT_FALSE(WriteFrame(left.get(), "x", absl::InfiniteFuture()).ok());
}

TEST(BulkFrameTest, TheHeaderIsAllButTheContent) {
  // Field 7, length-delimited; lengths on both sides of a varint's next byte.
  EXPECT_EQ(BulkFrameHeader(7, 0), std::string("\x02\0\0\0\x3a\0", 6));
  EXPECT_EQ(BulkFrameHeader(7, 127), std::string("\x81\0\0\0\x3a\x7f", 6));
  EXPECT_EQ(BulkFrameHeader(7, 128), std::string("\x83\0\0\0\x3a\x80\x01", 7));
  EXPECT_EQ(BulkFrameHeader(7, 1 << 20), std::string("\x04\0\x10\0\x3a\x80\x80\x40", 8));
}

TEST(SendBothTest, SendsBothHoweverLittleIsTakenAtATime) {
  auto [ours, theirs] = SocketPair();
  const std::string second(3 << 20, 's');
  std::string read;
  std::thread reader([&read, fd = theirs.get(), size = second.size() + 5] {
    char buffer[70'000];
    while (read.size() < size) {
      const ssize_t got = ::read(fd, buffer, sizeof(buffer));
      if (got <= 0) return;
      read.append(buffer, static_cast<size_t>(got));
    }
  });
  EXPECT_TRUE(SendBoth(ours.get(), "first", second));
  reader.join();
  EXPECT_TRUE(read == "first" + second);
}

TEST(SendBothTest, SaysThatThePeerHasGone) {
  auto [ours, theirs] = SocketPair();
  theirs.Reset();
  EXPECT_FALSE(SendBoth(ours.get(), "a", "b"));
  EXPECT_EQ(errno, EPIPE);
}

}  // namespace
}  // namespace msb
