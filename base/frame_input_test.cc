// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/frame_input.h"

#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/unique_fd.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

constexpr int kStdin = 2;
constexpr int kData = 7;
constexpr int kBulkFields[] = {kStdin, kData};

std::string Framed(const std::string& payload) {
  std::string frame;
  AppendFrame(payload, frame);
  return frame;
}

// A message, serialised, of one length-delimited field.
std::string Message(int field, const std::string& bytes) {
  return BulkFrameHeader(field, bytes.size()).substr(kFrameHeaderBytes) + bytes;
}

std::string StdinFrame(const std::string& bytes) { return Framed(Message(kStdin, bytes)); }

struct Seen {
  std::vector<std::string> messages;
  std::string stdin_bytes;
  std::string data;
  absl::Status status;
  bool inside_frame = false;
};

// Feeds `stream` in pieces of `piece` bytes, consuming chunks `bite` bytes at a time.
Seen Feed(const std::string& stream, size_t piece, size_t bite = 1 << 20) {
  int sockets[2];
  MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
  const UniqueFd writer(sockets[0]);
  const UniqueFd reader(sockets[1]);
  FrameInput input(kBulkFields);
  Seen seen;
  for (size_t at = 0; at < stream.size(); at += piece) {
    const std::string part = stream.substr(at, piece);
    MSB_CHECK(::write(writer.get(), part.data(), part.size()) == static_cast<ssize_t>(part.size()));
    size_t read = 0;
    while (read < part.size()) {
      int before = 0, after = 0;
      ::ioctl(reader.get(), FIONREAD, &before);
      MSB_CHECK(input.ReadFrom(reader.get()) == FrameInput::ReadResult::kSome);
      ::ioctl(reader.get(), FIONREAD, &after);
      read += static_cast<size_t>(before - after);
      while (true) {
        const auto item = input.Peek();
        if (!item.ok()) {
          seen.status = item.status();
          return seen;
        }
        if (!item->has_value()) break;
        const absl::string_view bytes = (*item)->bytes;
        if ((*item)->field == FrameInput::kMessage) {
          seen.messages.emplace_back(bytes);
          input.Consume(bytes.size());
          continue;
        }
        std::string& out = (*item)->field == kStdin ? seen.stdin_bytes : seen.data;
        const size_t taken = std::min(bite, bytes.size());
        out.append(bytes.data(), taken);
        input.Consume(taken);
      }
    }
  }
  seen.inside_frame = input.inside_frame();
  return seen;
}

TEST(FrameInputTest, FindsFramesHoweverTheyArrive) {
  const std::string data = Message(kData, std::string(5000, 'd'));
  const std::string close = Message(3, "");
  const std::string stream = Framed("") + StdinFrame("hello ") + Framed(close) + Framed(data) +
                             StdinFrame(std::string(70'000, 's')) + StdinFrame("");
  for (const size_t piece : {1, 2, 3, 7, 4096, 100'000}) {
    const Seen seen = Feed(stream, piece);
    ASSERT_OK(seen.status);
    EXPECT_EQ(seen.messages, (std::vector<std::string>{"", close})) << piece;
    EXPECT_TRUE(seen.stdin_bytes == "hello " + std::string(70'000, 's')) << piece;
    EXPECT_TRUE(seen.data == std::string(5000, 'd')) << piece;
    EXPECT_FALSE(seen.inside_frame);
  }
}

TEST(FrameInputTest, AChunkMayBeTakenInBites) {
  EXPECT_TRUE(Feed(StdinFrame(std::string(10'000, 'x')), 3000, 17).stdin_bytes ==
              std::string(10'000, 'x'));
}

TEST(FrameInputTest, TakesTheLargestMessageAndRefusesALargerOne) {
  const std::string largest(kMaxFrameBytes, '\x7f');
  const Seen seen = Feed(Framed(largest), 50'000);
  ASSERT_OK(seen.status);
  ASSERT_EQ(seen.messages.size(), 1u);
  EXPECT_TRUE(seen.messages[0] == largest);
  EXPECT_THAT(Feed(Framed(largest + "x"), 50'000).status, HasReason(Reason::kFrameTooLarge));
}

TEST(FrameInputTest, TakesNothingForAChunkThatIsNotExactlyOne) {
  const std::string chunk = Message(kStdin, "abc");
  // Trailing fields, a length that lies, a varint without end: the parser has to judge these.
  for (const std::string& payload :
       {chunk + chunk, chunk.substr(0, 4), std::string("\x12\xff\xff\xff\xff\xff\xff", 7),
        std::string("\x12", 1),
        std::string("\x3a\x05"
                    "ab",
                    4)}) {
    const Seen seen = Feed(Framed(payload), 1);
    ASSERT_EQ(seen.messages.size(), 1u);
    EXPECT_EQ(seen.messages[0], payload);
    EXPECT_EQ(seen.stdin_bytes, "");
  }
}

TEST(FrameInputTest, KnowsWhenTheStreamEndsInsideAFrame) {
  EXPECT_TRUE(Feed(StdinFrame("hello").substr(0, 8), 100).inside_frame);
  EXPECT_TRUE(Feed(StdinFrame("hello").substr(0, 2), 100).inside_frame);
}

}  // namespace
}  // namespace msb
