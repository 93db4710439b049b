// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/ask_companion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/descriptors.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/unix_socket.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

constexpr absl::Duration kSoon = absl::Milliseconds(100);

class AskCompanionTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(listener_, ListenUnix(path_, /*backlog=*/1));
    AppendFrame("a question", frame_);
  }
  CompanionQuestion Question() const {
    return {.asked = "the companion", .socket = path_, .frame = frame_};
  }

  TempDir directory_;
  const std::string path_ = directory_.path() + "/control.sock";
  UniqueFd listener_;
  std::string frame_;
};

TEST_F(AskCompanionTest, SendsAFrameWithItsDescriptorAndReturnsTheAnswer) {
  std::string asked(64, '\0');
  std::vector<UniqueFd> descriptors;
  std::thread companion([&] {
    absl::StatusOr<UniqueFd> client = absl::UnavailableError("");
    while (!client.ok()) client = AcceptUnix(listener_.get(), Blocking::kNo);
    absl::StatusOr<size_t> got = size_t{0};
    while (got.ok() && *got == 0) {
      got = ReceiveWithDescriptors(client->get(), asked, descriptors);
    }
    if (got.ok()) asked.resize(*got);
    WriteFrame(client->get(), "an answer", absl::InfiniteFuture()).IgnoreError();
  });
  CompanionQuestion question = Question();
  question.descriptor = listener_.get();

  const auto answer = AskCompanion(question, absl::Seconds(20));

  companion.join();
  ASSERT_OK(answer);
  EXPECT_EQ(*answer, "an answer");
  EXPECT_EQ(asked, frame_);
  EXPECT_EQ(descriptors.size(), 1u);
}

TEST_F(AskCompanionTest, OneThatSaysNothingIsAnErrorInTime) {
  EXPECT_THAT(AskCompanion(Question(), kSoon), HasReason(Reason::kHostError));
}

TEST_F(AskCompanionTest, OneThatDoesNotAcceptIsAnErrorAndNotWaitedFor) {
  std::vector<UniqueFd> waiting;
  absl::StatusOr<UniqueFd> next = ConnectUnix(path_, Blocking::kNo);
  while (next.ok()) {
    waiting.push_back(*std::move(next));
    next = ConnectUnix(path_, Blocking::kNo);
  }
  EXPECT_THAT(AskCompanion(Question(), absl::InfiniteDuration()), HasReason(Reason::kHostError));
}

TEST_F(AskCompanionTest, OneThatDoesNotReadIsAnErrorInTime) {
  const std::string large(8 << 20, 'x');
  CompanionQuestion question = Question();
  question.frame = large;
  EXPECT_THAT(AskCompanion(question, kSoon), HasReason(Reason::kHostError));
}

TEST_F(AskCompanionTest, OneThatIsNotThereIsAnError) {
  CompanionQuestion question = Question();
  question.socket = directory_.path() + "/nobody.sock";
  EXPECT_THAT(AskCompanion(question, kSoon), HasReason(Reason::kHostError));
}

}  // namespace
}  // namespace msb
