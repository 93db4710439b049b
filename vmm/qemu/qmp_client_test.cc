// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/qemu/qmp_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>

#include "base/check.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

class QmpClientTest : public ::testing::Test, public QmpObserver {
 protected:
  QmpClientTest() : loop_(*EventLoop::Create()) {
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    qemu_ = UniqueFd(ends[0]);
    client_ = *QmpClient::Create(*loop_, UniqueFd(ends[1]), *this);
  }

  void OnQmpReady() override { ready_ = true; }
  void OnQmpShutdown(absl::string_view reason) override { shutdown_ = std::string(reason); }
  void OnQmpBalloonChange(uint64_t bytes) override { balloon_ = bytes; }
  void OnQmpEnd(absl::Status why) override { ended_ = std::move(why); }

  void Say(const std::string& text) {
    ASSERT_EQ(::send(qemu_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
    client_->Drain();
  }
  std::string Hear() {
    std::string bytes(4096, '\0');
    const ssize_t got = ::recv(qemu_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return bytes;
  }

  static constexpr char kGreeting[] = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

  std::unique_ptr<EventLoop> loop_;
  UniqueFd qemu_;
  bool ready_ = false;
  std::string shutdown_;
  uint64_t balloon_ = 0;
  std::optional<absl::Status> ended_;
  std::unique_ptr<QmpClient> client_;
};

TEST_F(QmpClientTest, KeepsCommandsUntilQemuHasGreeted) {
  client_->Stop([](const absl::Status&) {});
  EXPECT_EQ(Hear(), "");

  Say(kGreeting);

  EXPECT_TRUE(ready_);
  EXPECT_EQ(Hear(), "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"stop\",\"id\":1}\n");
}

TEST_F(QmpClientTest, TellsEachCommandItsOwnAnswer) {
  std::optional<absl::Status> stopped, ballooned;
  Say(kGreeting);
  client_->Stop([&](absl::Status status) { stopped = std::move(status); });
  client_->Balloon(1 << 20, [&](absl::Status status) { ballooned = std::move(status); });

  Say("{\"return\": {}}\r\n{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": "
      "2}\r\n");
  EXPECT_FALSE(stopped.has_value());
  Say("{\"return\": {}, \"id\": 1}\r\n");

  EXPECT_THAT(Hear(),
              ::testing::HasSubstr(
                  "{\"execute\":\"balloon\",\"id\":2,\"arguments\":{\"value\":1048576}}\n"));
  EXPECT_OK(*stopped);
  EXPECT_THAT(*ballooned, HasReason(Reason::kQemuError));
}

TEST_F(QmpClientTest, TakesALineThatComesInPieces) {
  const std::string greeting = kGreeting;
  Say(greeting.substr(0, 9));
  EXPECT_FALSE(ready_);

  Say(greeting.substr(9));

  EXPECT_TRUE(ready_);
}

TEST_F(QmpClientTest, TellsEventsAndIgnoresOthers) {
  Say(kGreeting);
  Say("{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n"
      "{\"event\": \"BALLOON_CHANGE\", \"data\": {\"actual\": 4096}}\r\n"
      "{\"event\": \"RTC_CHANGE\", \"data\": {\"offset\": 1}}\r\n");

  EXPECT_EQ(shutdown_, "guest-reset");
  EXPECT_EQ(balloon_, 4096u);
  EXPECT_FALSE(ended_.has_value());
}

TEST_F(QmpClientTest, ASavedStateIsThereWhenTheEventSaysSo) {
  std::optional<absl::Status> saved;
  Say(kGreeting);
  client_->SaveState(UniqueFd(::memfd_create("state", MFD_CLOEXEC)),
                     [&](absl::Status status) { saved = std::move(status); });
  Hear();  // as far as the descriptor
  EXPECT_THAT(Hear(), ::testing::HasSubstr("\"fd:state\""));

  Say("{\"return\": {}, \"id\": 1}\r\n{\"return\": {}, \"id\": 2}\r\n"
      "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"active\"}}\r\n"
      "{\"return\": {}, \"id\": 3}\r\n");
  EXPECT_FALSE(saved.has_value());
  Say("{\"event\": \"MIGRATION\", \"data\": {\"status\": \"completed\"}}\r\n");

  ASSERT_TRUE(saved.has_value());
  EXPECT_OK(*saved);
}

TEST_F(QmpClientTest, ATransferEndsWithItsFirstFailure) {
  std::optional<absl::Status> restored;
  Say(kGreeting);
  client_->RestoreState(12, [&](absl::Status status) { restored = std::move(status); });
  EXPECT_THAT(Hear(), ::testing::HasSubstr("\"uri\":\"fd:12\""));

  Say("{\"return\": {}, \"id\": 1}\r\n"
      "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no such fd\"}}\r\n"
      "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"failed\"}}\r\n");

  ASSERT_TRUE(restored.has_value());
  EXPECT_THAT(*restored, HasReason(Reason::kQemuError));
  EXPECT_THAT(restored->message(), ::testing::HasSubstr("no such fd"));
}

TEST_F(QmpClientTest, ATransferUnderWayEndsWhenQemuHangsUp) {
  std::optional<absl::Status> restored;
  Say(kGreeting);
  client_->RestoreState(12, [&](absl::Status status) { restored = std::move(status); });
  Hear();
  qemu_.Reset();
  client_->Drain();

  ASSERT_TRUE(restored.has_value());
  EXPECT_TRUE(absl::IsUnavailable(*restored));
}

TEST_F(QmpClientTest, SurvivesEventsThatLackWhatTheyShouldHave) {
  Say(kGreeting);
  Say("{\"event\": 7}\r\n{\"event\": \"SHUTDOWN\"}\r\n{\"event\": \"SHUTDOWN\", \"data\": [1]}\r\n"
      "{\"event\": \"BALLOON_CHANGE\", \"data\": {\"actual\": -1}}\r\n");

  EXPECT_EQ(shutdown_, "");
  EXPECT_EQ(balloon_, 0u);
  EXPECT_FALSE(ended_.has_value());
}

TEST_F(QmpClientTest, AnswersWhatIsUnderWayWhenQemuHangsUp) {
  std::optional<absl::Status> stopped;
  client_->Stop([&](absl::Status status) { stopped = std::move(status); });
  qemu_.Reset();

  client_->Drain();

  EXPECT_TRUE(absl::IsUnavailable(*stopped));
  EXPECT_TRUE(absl::IsUnavailable(*ended_));
}

TEST_F(QmpClientTest, EndsOnWhatIsNoQmp) {
  for (const char* line : {"hello\n", "[1]\n", "{\"return\": {}, \"id\": 99}\n", "{}{}\n", "\n"}) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    qemu_ = UniqueFd(ends[0]);
    client_ = *QmpClient::Create(*loop_, UniqueFd(ends[1]), *this);
    ended_.reset();

    Say(line);

    ASSERT_TRUE(ended_.has_value()) << line;
    EXPECT_THAT(*ended_, HasReason(Reason::kQemuError)) << line;
  }
}

TEST_F(QmpClientTest, EndsOnALineWithoutEnd) {
  for (size_t sent = 0; sent <= QmpClient::kMaxLineBytes; sent += 4096) {
    Say(std::string(4096, 'x'));
  }

  ASSERT_TRUE(ended_.has_value());
  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
}

TEST_F(QmpClientTest, ReadsDeeplyNestedLinesWithoutUsingUpTheStack) {
  Say(kGreeting);
  Say("{\"event\": " + std::string(30000, '[') + std::string(30000, ']') + "}\r\n");

  EXPECT_FALSE(ended_.has_value());
}

}  // namespace
}  // namespace msb
