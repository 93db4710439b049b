// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/control/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/frames.h"
#include "base/unix_socket.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using msb::vmm::v1::ControlRequest;
using msb::vmm::v1::ControlResponse;
using msb::vmm::v1::VmEvent;

// A machine that pauses when it is told that it has.
class FakeTarget final : public ControlTarget {
 public:
  msb::vmm::v1::Status status() const override {
    msb::vmm::v1::Status status;
    status.set_engine("fake");
    status.set_vcpus(7);
    return status;
  }
  msb::vmm::v1::Stats stats() const override {
    msb::vmm::v1::Stats stats;
    stats.set_console_bytes(42);
    return stats;
  }
  void Pause(Done done) override { pauses.push_back(std::move(done)); }
  void Resume(Done done) override { done(absl::OkStatus()); }
  absl::Status SetBalloon(uint32_t mib) override {
    if (mib > 100) return MakeError(Reason::kInvalidArgument, "too large");
    balloon_mib = mib;
    return absl::OkStatus();
  }
  void RequestStop() override { ++stops; }

  std::vector<Done> pauses;
  uint32_t balloon_mib = 0;
  int stops = 0;
};

// A client on the test's own loop.
class Client {
 public:
  Client(EventLoop& loop, const std::string& path) : loop_(loop) {
    socket_ = *ConnectUnix(path, Blocking::kNo);
    MSB_CHECK(loop_.Watch(socket_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); }).ok());
  }
  ~Client() { Close(); }

  void SendBytes(absl::string_view bytes) {
    ASSERT_EQ(::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void Send(const ControlRequest& request) {
    std::string frame;
    AppendFrame(request.SerializeAsString(), frame);
    SendBytes(frame);
  }
  void WaitFor(size_t count) {
    wanted_ = count;
    while (answers.size() < wanted_ && !ended) ASSERT_OK(loop_.Run());
  }
  void WaitForEnd() {
    wanted_ = SIZE_MAX;
    while (!ended) ASSERT_OK(loop_.Run());
  }
  void Close() {
    if (!socket_.valid()) return;
    loop_.Unwatch(socket_.get());
    socket_.Reset();
  }

  std::vector<ControlResponse> answers;
  bool ended = false;

 private:
  void OnReadable() {
    char buffer[4096];
    const ssize_t got = ::recv(socket_.get(), buffer, sizeof(buffer), 0);
    if (got <= 0) {
      ended = true;
      loop_.Unwatch(socket_.get());
      return loop_.Stop();
    }
    reader_.Append({buffer, static_cast<size_t>(got)});
    while (true) {
      const auto frame = reader_.Next();
      MSB_CHECK(frame.ok());
      if (!frame->has_value()) break;
      ControlResponse response;
      MSB_CHECK(response.ParseFromArray((*frame)->data(), static_cast<int>((*frame)->size())));
      answers.push_back(std::move(response));
    }
    if (answers.size() >= wanted_) loop_.Stop();
  }

  EventLoop& loop_;
  UniqueFd socket_;
  FrameReader reader_;
  size_t wanted_ = 0;
};

ControlRequest Request(uint64_t id, const std::function<void(ControlRequest&)>& fill) {
  ControlRequest request;
  request.set_id(id);
  fill(request);
  return request;
}

ControlRequest StatusRequest(uint64_t id) {
  return Request(id, [](ControlRequest& r) { r.mutable_status(); });
}
ControlRequest PauseRequest(uint64_t id) {
  return Request(id, [](ControlRequest& r) { r.mutable_pause(); });
}
ControlRequest WatchRequest(uint64_t id) {
  return Request(id, [](ControlRequest& r) { r.mutable_watch(); });
}

class ControlServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(loop_, EventLoop::Create());
    StartServer({});
  }
  void StartServer(const ControlLimits& limits) {
    server_.reset();
    ASSERT_OK_AND_ASSIGN(UniqueFd listener, ListenUnix(path_));
    ASSERT_OK_AND_ASSIGN(
        server_, ControlServer::Create(*loop_, std::move(listener), target_, journal_, limits));
  }
  std::unique_ptr<Client> Connect() { return std::make_unique<Client>(*loop_, path_); }
  // Serves what is ready now, the clients' hang-ups among it.
  void ServeTurn() {
    for (int i = 0; i < 3; ++i) {
      loop_->Post([this] { loop_->Stop(); });
      ASSERT_OK(loop_->Run());
    }
  }

  TempDir dir_;
  const std::string path_ = dir_.path() + "/control";
  std::unique_ptr<EventLoop> loop_;
  FakeTarget target_;
  EventJournal journal_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlServerTest, AnswersStatusAndStatsWithTheRequestsId) {
  const auto client = Connect();
  client->Send(StatusRequest(11));
  client->Send(Request(12, [](ControlRequest& r) { r.mutable_stats(); }));
  client->WaitFor(2);
  EXPECT_EQ(client->answers[0].id(), 11u);
  EXPECT_EQ(client->answers[0].status().engine(), "fake");
  EXPECT_EQ(client->answers[0].status().vcpus(), 7u);
  EXPECT_EQ(client->answers[1].id(), 12u);
  EXPECT_EQ(client->answers[1].stats().console_bytes(), 42u);
}

TEST_F(ControlServerTest, AnswersAPauseWhenTheMachineStandsAndOtherThingsMeanwhile) {
  const auto client = Connect();
  client->Send(PauseRequest(1));
  client->Send(StatusRequest(2));
  client->WaitFor(1);
  EXPECT_EQ(client->answers[0].id(), 2u);
  ASSERT_EQ(target_.pauses.size(), 1u);

  target_.pauses[0](absl::OkStatus());
  client->WaitFor(2);
  EXPECT_EQ(client->answers[1].id(), 1u);
  EXPECT_TRUE(client->answers[1].has_ok());
}

TEST_F(ControlServerTest, CarriesReasonsAcross) {
  const auto client = Connect();
  client->Send(Request(1, [](ControlRequest& r) { r.set_set_balloon_mib(101); }));
  client->Send(Request(2, [](ControlRequest& r) { r.set_set_balloon_mib(100); }));
  client->Send(Request(3, [](ControlRequest&) {}));
  client->WaitFor(3);
  EXPECT_EQ(client->answers[0].error().reason(), static_cast<int>(Reason::kInvalidArgument));
  EXPECT_EQ(client->answers[0].error().message(), "too large");
  EXPECT_TRUE(client->answers[1].has_ok());
  EXPECT_EQ(target_.balloon_mib, 100u);
  EXPECT_EQ(client->answers[2].error().reason(), static_cast<int>(Reason::kInvalidArgument));
}

TEST_F(ControlServerTest, AWatchReplaysThenFollows) {
  journal_.Record(VmEvent::KIND_PROCESS_STARTED, 1);
  journal_.Record(VmEvent::KIND_MACHINE_READY, 2);
  const auto client = Connect();
  client->Send(WatchRequest(9));
  client->WaitFor(2);
  journal_.Record(VmEvent::KIND_AGENT_READY, 3);
  client->WaitFor(3);
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(client->answers[i].id(), 9u);
    EXPECT_EQ(client->answers[i].event().monotonic_ns(), i + 1);
  }
}

TEST_F(ControlServerTest, AnswersAStopBeforeItBegins) {
  const auto client = Connect();
  client->Send(Request(5, [](ControlRequest& r) { r.mutable_stop(); }));
  client->WaitFor(1);
  EXPECT_TRUE(client->answers[0].has_ok());
  EXPECT_EQ(target_.stops, 1);
}

TEST_F(ControlServerTest, ServesSeveralClients) {
  std::vector<std::unique_ptr<Client>> clients;
  for (uint64_t i = 0; i < 10; ++i) clients.push_back(Connect());
  for (uint64_t i = 0; i < 10; ++i) clients[i]->Send(StatusRequest(i));
  for (uint64_t i = 0; i < 10; ++i) {
    clients[i]->WaitFor(1);
    EXPECT_EQ(clients[i]->answers[0].id(), i);
  }
  EXPECT_EQ(server_->clients(), 10u);
  clients.clear();
  ServeTurn();
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(ControlServerTest, AClientThatLeftIsNotAnswered) {
  auto client = Connect();
  client->Send(PauseRequest(1));
  client->Send(WatchRequest(2));
  client->Send(StatusRequest(3));
  client->WaitFor(1);
  client->Close();
  ServeTurn();
  ASSERT_EQ(target_.pauses.size(), 1u);
  target_.pauses[0](absl::OkStatus());
  journal_.Record(VmEvent::KIND_PAUSED);
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(ControlServerTest, TakesFramesInPieces) {
  const auto client = Connect();
  std::string frame;
  AppendFrame(StatusRequest(4).SerializeAsString(), frame);
  for (const char byte : frame) {
    client->SendBytes({&byte, 1});
    ServeTurn();
  }
  client->WaitFor(1);
  EXPECT_EQ(client->answers[0].id(), 4u);
}

TEST_F(ControlServerTest, HangsUpOnGarbageAndGoesOnWithOthers) {
  const auto good = Connect();
  const auto garbage = Connect();
  garbage->SendBytes(std::string("\x04\0\0\0\xff\xff\xff\xff", 8));
  garbage->WaitForEnd();
  const auto large = Connect();
  large->SendBytes(std::string("\xff\xff\0\0", 4));
  large->WaitForEnd();

  good->Send(StatusRequest(1));
  good->WaitFor(1);
  EXPECT_TRUE(good->answers[0].has_status());
}

TEST_F(ControlServerTest, BoundsRequestsUnderWay) {
  StartServer({.requests_under_way = 3});
  const auto client = Connect();
  for (uint64_t i = 0; i < 4; ++i) client->Send(PauseRequest(i));
  client->WaitFor(1);
  EXPECT_EQ(client->answers[0].id(), 3u);
  EXPECT_EQ(client->answers[0].error().reason(), static_cast<int>(Reason::kLimitExceeded));
  for (const auto& done : target_.pauses) done(absl::OkStatus());
  client->WaitFor(4);
  client->Send(PauseRequest(9));
  client->Send(StatusRequest(10));
  client->WaitFor(5);
  EXPECT_EQ(target_.pauses.size(), 4u);
}

TEST_F(ControlServerTest, HangsUpOnAClientThatDoesNotRead) {
  StartServer({.unread_answer_bytes = 2000});
  const UniqueFd silent = *ConnectUnix(path_, Blocking::kNo);
  std::string frame;
  AppendFrame(WatchRequest(1).SerializeAsString(), frame);
  ASSERT_EQ(::send(silent.get(), frame.data(), frame.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(frame.size()));
  ServeTurn();
  ASSERT_EQ(server_->clients(), 1u);
  const std::string detail(400, 'x');
  for (int i = 0; i < 20'000 && server_->clients() > 0; ++i) {
    journal_.Record(VmEvent::KIND_PAUSED, 1, Reason::kUnspecified, detail);
  }
  EXPECT_EQ(server_->clients(), 0u);
}

TEST_F(ControlServerTest, HangsUpOnOneClientTooMany) {
  StartServer({.clients = 2});
  const auto first = Connect();
  const auto second = Connect();
  const auto third = Connect();
  third->WaitForEnd();
  first->Send(StatusRequest(1));
  first->WaitFor(1);
  EXPECT_EQ(server_->clients(), 2u);
}

}  // namespace
}  // namespace msb
