// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/response_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace msb {
namespace {

using ::testing::ElementsAre;

// Takes gRPC's place and writes down what is begun.
class FakeReactor {
 public:
  virtual ~FakeReactor() = default;
  void StartWrite(const std::string* response) { begun_.push_back("write " + *response); }
  void StartRead(std::string*) { begun_.push_back("read"); }
  void StartSendInitialMetadata() { begun_.push_back("headers"); }
  void Finish(const grpc::Status& status) {
    begun_.push_back("finish " + std::to_string(status.error_code()));
  }
  virtual void OnWriteDone(bool ok) = 0;
  virtual void OnDone() = 0;

  const std::vector<std::string>& begun() const { return begun_; }

 private:
  std::vector<std::string> begun_;
};

class TestCall final : public QueuedCall<FakeReactor, std::string> {
 public:
  explicit TestCall(grpc::CallbackServerContext& context) : QueuedCall(context) {}
  using QueuedCall::held;
  using QueuedCall::Hold;
  using QueuedCall::Read;
  using QueuedCall::SendHeaders;
  size_t written() const { return written_; }

 private:
  void OnWritten(size_t cost) override { written_ += cost; }
  size_t written_ = 0;
};

class ResponseQueueTest : public ::testing::Test {
 protected:
  static void Written(FakeReactor& call, bool ok = true) { call.OnWriteDone(ok); }
  static void Done(FakeReactor& call) { call.OnDone(); }

  grpc::CallbackServerContext context_;
  TestCall call_{context_};
  std::string message_;
};

TEST_F(ResponseQueueTest, WritesOneAfterTheOtherAndGivesTheirCostBack) {
  call_.Push("a", 1);
  call_.Push("b", 2);
  EXPECT_THAT(call_.begun(), ElementsAre("write a"));

  Written(call_);
  EXPECT_THAT(call_.begun(), ElementsAre("write a", "write b"));
  Written(call_);

  EXPECT_EQ(call_.written(), 3u);
}

TEST_F(ResponseQueueTest, EndsBehindWhatWasPushed) {
  call_.Push("a");
  call_.End(absl::OkStatus());
  call_.Push("too late");
  EXPECT_THAT(call_.begun(), ElementsAre("write a"));

  Written(call_);

  EXPECT_THAT(call_.begun(), ElementsAre("write a", "finish 0"));
}

TEST_F(ResponseQueueTest, TheFirstOutcomeCounts) {
  call_.End(absl::CancelledError("gone"));
  call_.End(absl::OkStatus());

  EXPECT_THAT(call_.begun(), ElementsAre("finish 1"));
}

TEST_F(ResponseQueueTest, WhatCannotBeWrittenIsDropped) {
  call_.Push("a", 1);
  call_.Push("b", 2);
  Written(call_, /*ok=*/false);
  call_.Push("c", 4);
  call_.End(absl::OkStatus());

  EXPECT_THAT(call_.begun(), ElementsAre("write a", "finish 0"));
}

// A command that ends at once ends its call from the agent's thread, while another is about to read
// the client's next message: gRPC has freed its part of the call by then.
TEST_F(ResponseQueueTest, NothingBeginsBehindTheEnd) {
  call_.Read(&message_);
  call_.SendHeaders();
  call_.End(absl::OkStatus());

  call_.Read(&message_);
  call_.SendHeaders();

  EXPECT_THAT(call_.begun(), ElementsAre("read", "headers", "finish 0"));
}

TEST_F(ResponseQueueTest, IsHeldUntilItIsDone) {
  auto call = std::make_shared<TestCall>(context_);
  const std::weak_ptr<TestCall> weak = call;
  call->Hold(call);
  FakeReactor* const reactor = call.get();
  call.reset();
  EXPECT_NE(weak.lock()->held(), nullptr);

  Done(*reactor);

  EXPECT_TRUE(weak.expired());
}

}  // namespace
}  // namespace msb
