// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/direct_transfer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/unix_socket.h"
#include "base/wait_for.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using msb::agent::v1::AgentFrame;
using msb::agent::v1::HostFrame;
using testing::HasSubstr;

std::string Framed(const google::protobuf::MessageLite& message) {
  std::string frame;
  AppendFrame(message.SerializeAsString(), frame);
  return frame;
}

AgentFrame Done() {
  AgentFrame frame;
  frame.mutable_done()->set_bytes(1);
  return frame;
}

AgentFrame Failure(Reason reason, const std::string& message) {
  AgentFrame frame;
  frame.mutable_error()->set_reason(static_cast<int>(reason));
  frame.mutable_error()->set_message(message);
  return frame;
}

AgentFrame Entry(const std::string& path, uint64_t size) {
  AgentFrame frame;
  frame.mutable_tree_entry()->set_path(path);
  frame.mutable_tree_entry()->set_type(msb::agent::v1::FILE_TYPE_REGULAR);
  frame.mutable_tree_entry()->set_size(size);
  return frame;
}

AgentFrame Data(const std::string& bytes) {
  AgentFrame frame;
  frame.set_data(bytes);
  return frame;
}

struct Pair {
  Pair() {
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    ours = UniqueFd(ends[0]);
    theirs = UniqueFd(ends[1]);
  }
  void Say(const std::string& bytes) const {
    MSB_CHECK(::send(theirs.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(bytes.size()));
  }
  UniqueFd ours;
  UniqueFd theirs;
};

// The test plays the daemon and the guest.
class DirectTransferTest : public testing::Test {
 protected:
  std::unique_ptr<DirectTransfer> Make() {
    return std::make_unique<DirectTransfer>(std::move(daemon_.ours), std::move(guest_.ours));
  }
  // What the guest has to read, up to the end of its stream or the frame `end`.
  std::vector<HostFrame> Taken() const {
    std::vector<HostFrame> frames;
    while (frames.empty() || !frames.back().has_end()) {
      const auto frame = ReadFrame(guest_.theirs.get(), absl::InfiniteFuture());
      if (!frame.ok() || !*frame) break;
      MSB_CHECK(frames.emplace_back().ParseFromString(**frame));
    }
    return frames;
  }
  void SayReason(msb::v1::Reason reason) const {
    msb::v1::OpenTransferResponse word;
    word.set_reason(reason);
    word.set_message("it is gone");
    daemon_.Say(Framed(word));
  }

  Pair daemon_;
  Pair guest_;
};

TEST_F(DirectTransferTest, SendsContentAndItsEnd) {
  std::vector<HostFrame> frames;
  std::thread guest([&] {
    guest_.Say(Framed([] {
      AgentFrame opened;
      opened.mutable_opened()->set_protocol_version(1);
      return opened;
    }()));
    frames = Taken();
    guest_.Say(Framed(Done()));
  });
  const std::unique_ptr<Upload> upload = NewDirectUpload(Make());
  std::string small = "small";
  std::string large(1 << 20, 'l');
  EXPECT_TRUE(upload->Data(small));
  EXPECT_TRUE(upload->Data(large));
  EXPECT_OK(upload->Finish(absl::OkStatus()));
  guest.join();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[0].data(), small);
  EXPECT_TRUE(frames[1].data() == large);
  EXPECT_TRUE(frames[2].has_end());
}

TEST_F(DirectTransferTest, AnErrorOfTheGuestStopsTheUploadAndIsItsOutcome) {
  guest_.Say(Framed(Failure(Reason::kNoSpace, "the disk is full\x1b[2J")));
  const std::unique_ptr<Upload> upload = NewDirectUpload(Make());
  std::string data = "more";
  EXPECT_FALSE(upload->Data(data));
  const absl::Status status = upload->Finish(absl::CancelledError("the receiver ended it"));
  EXPECT_THAT(status, HasReason(Reason::kNoSpace));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("\x1b")));
}

TEST_F(DirectTransferTest, AFailureHereSendsNoEnd) {
  std::unique_ptr<Upload> upload = NewDirectUpload(Make());
  std::string data = "half";
  EXPECT_TRUE(upload->Data(data));
  EXPECT_THAT(upload->Finish(MakeError(Reason::kInvalidArgument, "unreadable")),
              HasReason(Reason::kInvalidArgument));
  upload.reset();
  for (const HostFrame& frame : Taken()) EXPECT_FALSE(frame.has_end());
}

TEST_F(DirectTransferTest, ReceivesEntriesWithTheirContentInWholePieces) {
  const std::string large(600'000, 'x');
  std::thread guest([&] {
    const std::string bytes =
        Framed(Entry("", 600'003)) + Framed(Data("abc")) + Framed(Data(large)) + Framed(Done());
    for (size_t at = 0; at < bytes.size(); at += 70'001) guest_.Say(bytes.substr(at, 70'001));
  });
  const std::unique_ptr<Download> download = NewDirectDownload(Make());
  absl::StatusOr<Download::Chunk> chunk = download->Next();
  ASSERT_OK(chunk);
  ASSERT_NE(chunk->entry, nullptr);
  EXPECT_EQ(chunk->entry->size(), 600'003u);
  std::vector<size_t> sizes;
  std::string content;
  while (true) {
    chunk = download->Next();
    ASSERT_OK(chunk);
    if (chunk->is_end()) break;
    sizes.push_back(chunk->data.size());
    content.append(chunk->data.data(), chunk->data.size());
  }
  guest.join();
  EXPECT_TRUE(content == "abc" + large);
  // Holes and alignment come through: no piece ends where a read happened to.
  constexpr size_t kPiece = 128 << 10;
  EXPECT_THAT(sizes, testing::ElementsAre(3, kPiece, kPiece, kPiece, kPiece, 600'000 - 4 * kPiece));
  chunk = download->Next();
  ASSERT_OK(chunk);
  EXPECT_TRUE(chunk->is_end());
}

TEST_F(DirectTransferTest, ABrokenConnectionHasTheDaemonsReason) {
  SayReason(msb::v1::REASON_SANDBOX_STOPPED);
  guest_.Say(Framed(Data("abc")).substr(0, 8));
  guest_.theirs.Reset();
  const std::unique_ptr<Download> download = NewDirectDownload(Make());
  const auto chunk = download->Next();
  EXPECT_THAT(chunk.status(), HasReason(Reason::kSandboxStopped));
  EXPECT_THAT(std::string(chunk.status().message()), HasSubstr("it is gone"));
}

TEST_F(DirectTransferTest, ABrokenConnectionWithoutAReasonIsTold) {
  guest_.theirs.Reset();
  daemon_.theirs.Reset();
  EXPECT_THAT(NewDirectDownload(Make())->Next().status(), HasReason(Reason::kFrameTruncated));
}

TEST_F(DirectTransferTest, WhatBelongsToNoCopyEndsIt) {
  for (const std::string& bytes :
       {std::string("\4\0\0\0\xff\xff\xff\xff", 8), std::string("\xff\xff\xff\x7f", 4),
        Framed(Failure(Reason::kSandboxNotFound, "as if I were the daemon"))}) {
    guest_ = Pair();
    daemon_ = Pair();
    guest_.Say(bytes);
    const absl::Status status = NewDirectDownload(Make())->Next().status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status, testing::Not(HasReason(Reason::kSandboxNotFound)));
  }
  guest_ = Pair();
  daemon_ = Pair();
  guest_.Say(Framed(Entry("not for an upload", 1)));
  EXPECT_THAT(NewDirectUpload(Make())->Finish(absl::OkStatus()), HasReason(Reason::kAgentProtocol));
}

// A daemon, or what listens in its place, that answers a transfer with `answer`.
absl::StatusOr<std::unique_ptr<DirectTransfer>> OpenAt(const std::string& answer) {
  const TempDir directory;
  const std::string path = directory.path() + "/socket";
  const absl::StatusOr<UniqueFd> listener = ListenUnix(path);
  MSB_CHECK(listener.ok());
  std::thread daemon([&] {
    MSB_CHECK(WaitFor(listener->get(), POLLIN, absl::InfiniteFuture()).ok());
    const absl::StatusOr<UniqueFd> client = AcceptUnix(listener->get(), Blocking::kYes);
    MSB_CHECK(client.ok());
    ::send(client->get(), answer.data(), answer.size(), MSG_NOSIGNAL);
  });
  auto transfer = DirectTransfer::Open({.socket = path}, {});
  daemon.join();
  return transfer;
}

TEST(DirectTransferOpenTest, ADaemonThatDoesNotKnowOfItIsAskedByItsCalls) {
  msb::v1::OpenTransferResponse version;
  version.set_reason(msb::v1::REASON_AGENT_VERSION);
  // Nothing; the SETTINGS frame of HTTP/2; another version.
  for (const std::string& answer :
       {std::string(), std::string("\0\0\x1e\4\0\0\0\0\0", 9), Framed(version)}) {
    const auto transfer = OpenAt(answer);
    ASSERT_OK(transfer);
    EXPECT_EQ(*transfer, nullptr);
  }
}

TEST(DirectTransferOpenTest, ARefusalIsTheOutcome) {
  msb::v1::OpenTransferResponse refusal;
  refusal.set_reason(msb::v1::REASON_SANDBOX_NOT_FOUND);
  refusal.set_message("no sandbox box");
  EXPECT_THAT(OpenAt(Framed(refusal)).status(), HasReason(Reason::kSandboxNotFound));
  EXPECT_THAT(OpenAt(Framed(msb::v1::OpenTransferResponse())).status(),
              HasReason(Reason::kDaemonUnreachable));  // a success that brings nothing
}

TEST(DirectTransferOpenTest, AnAddressOfTheNetworkHasNoDescriptors) {
  const auto transfer = DirectTransfer::Open({.address = "127.0.0.1:1"}, {});
  ASSERT_OK(transfer);
  EXPECT_EQ(*transfer, nullptr);
}

}  // namespace
}  // namespace msb
