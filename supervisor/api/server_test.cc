// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The daemon's door: who comes in, what is thrown at it, and how it closes.

#include <gmock/gmock.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "base/unix_socket.h"
#include "supervisor/api/connections.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/api/api_fixture.h"

namespace msb {
namespace {

namespace api = msb::v1;
using testing::AnyOf;
using testing::HasSubstr;

constexpr uid_t kStranger = 65534;
// The client's half of an HTTP/2 connection (RFC 9113, 3.4), with an empty SETTINGS frame.
constexpr absl::string_view kPreface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);

class ServerTest : public ApiFixture {
 protected:
  // A connection whose other end is seen as another user's.
  absl::StatusOr<UniqueFd> ConnectAs(uid_t uid) {
    EXPECT_EQ(::chmod(daemon_.dir().path().c_str(), 0755), 0);
    // Of this thread alone, which the wrappers of libc would not do.
    EXPECT_EQ(::syscall(SYS_setresuid, -1, uid, -1), 0);
    absl::StatusOr<UniqueFd> socket = ConnectUnix(this->socket(), Blocking::kYes);
    EXPECT_EQ(::syscall(SYS_setresuid, -1, 0, -1), 0);
    return socket;
  }
  void Throw(absl::string_view bytes) {
    absl::StatusOr<UniqueFd> connection = ConnectUnix(socket(), Blocking::kYes);
    ASSERT_OK(connection);
    ASSERT_EQ(::send(connection->get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    ASSERT_EQ(::shutdown(connection->get(), SHUT_WR), 0);
    // It hangs up, whatever it says before.
    char block[4096];
    while (::read(connection->get(), block, sizeof(block)) > 0) {
    }
  }
  CallEnd List() { return Call(sandboxes_, &api::SandboxService::Stub::List, api::ListRequest()); }
};

TEST_F(ServerTest, AStrangerIsToldWhatToDo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  absl::StatusOr<UniqueFd> socket = ConnectAs(kStranger);
  ASSERT_OK(socket);
  const auto channel = grpc::CreateInsecureChannelFromFd("stranger", socket->Release());
  const auto stub = api::SandboxService::NewStub(channel);

  const CallEnd end = Call(stub, &api::SandboxService::Stub::List, api::ListRequest());

  EXPECT_EQ(end.code, grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(end.reason, "PERMISSION_DENIED");
  EXPECT_THAT(end.message, HasSubstr("usermod -aG"));
}

TEST_F(ServerTest, AStrangerGetsNoStreamEither) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  MakeBox();
  absl::StatusOr<UniqueFd> socket = ConnectAs(kStranger);
  ASSERT_OK(socket);
  const auto channel = grpc::CreateInsecureChannelFromFd("stranger", socket->Release());

  const auto context = NewContext();
  const auto exec = api::ExecService::NewStub(channel)->Exec(context.get());
  exec->Write(StartOf("true"));
  std::vector<api::ExecResponse> said;
  EXPECT_EQ(ReadAll(*context, *exec, said).reason, "PERMISSION_DENIED");

  const auto other = NewContext();
  const auto events =
      api::SystemService::NewStub(channel)->WatchEvents(other.get(), api::WatchEventsRequest());
  std::vector<api::Event> told;
  EXPECT_EQ(ReadAll(*other, *events, told).reason, "PERMISSION_DENIED");
}

TEST_F(ServerTest, KnowsThePeersGroups) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd first(ends[0]);
  const UniqueFd second(ends[1]);

  ASSERT_OK_AND_ASSIGN(const Caller peer, PeerOf(first.get()));

  EXPECT_EQ(peer.uid, ::getuid());
  EXPECT_EQ(peer.gid, ::getgid());
  std::vector<gid_t> groups(static_cast<size_t>(::getgroups(0, nullptr)));
  ASSERT_EQ(::getgroups(static_cast<int>(groups.size()), groups.data()),
            static_cast<int>(groups.size()));
  EXPECT_THAT(peer.groups, testing::UnorderedElementsAreArray(groups));
}

TEST(ConnectionsTest, AUserHasSoManyAndNoMore) {
  Connections connections(/*max_per_user=*/2);
  const auto admit = [&](int fd, uint32_t uid) {
    return connections.Admit(fd, Caller{.uid = uid, .gid = 0, .groups = {}, .sees_all = false},
                             Connections::Right::kMember);
  };
  std::vector<UniqueFd> sockets;
  for (int i = 0; i < 4; ++i) sockets.emplace_back(::socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_OK(admit(sockets[0].get(), 1000));
  ASSERT_OK(admit(sockets[1].get(), 1000));
  EXPECT_THAT(admit(sockets[2].get(), 1000), HasReason(Reason::kLimitExceeded));
  EXPECT_OK(admit(sockets[3].get(), 1001));

  sockets[0].Reset();  // as gRPC does, without a word

  EXPECT_OK(admit(sockets[2].get(), 1000));
}

TEST_F(ServerTest, BrokenConnectionsHarmNobody) {
  Throw("");
  Throw("GET / HTTP/1.1\r\n\r\n");
  Throw(std::string(100'000, '\xff'));
  Throw(kPreface.substr(0, 10));
  Throw(kPreface);
  // A HEADERS frame that ends in its middle.
  Throw(std::string(kPreface) + std::string("\0\0\x40\1\4\0\0\0\1abc", 12));
  // A frame that says it is larger than any may be.
  Throw(std::string(kPreface) + std::string("\xff\xff\xff\0\0\0\0\0\1", 9));

  EXPECT_TRUE(List().ok());
}

TEST_F(ServerTest, AMessageThatIsNoneIsTheClientsFault) {
  const grpc::Slice slice(std::string(64, '\xff'));
  const grpc::ByteBuffer garbage(&slice, 1);
  grpc::ByteBuffer answer;
  const auto context = NewContext();
  grpc::GenericStub stub(channel_);

  const auto status =
      DaemonFixture::Await<grpc::Status>([&](std::function<void(grpc::Status)> done) {
        stub.UnaryCall(context.get(), "/msb.v1.SandboxService/Create", grpc::StubOptions(),
                       &garbage, &answer, done);
      });

  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(List().ok());
}

TEST_F(ServerTest, AClientThatLeavesInMidStreamLeavesNothing) {
  MakeBox();
  for (int round = 0; round < 20; ++round) {
    const auto context = NewContext();
    const auto stream = execs_->Exec(context.get());
    stream->Write(StartOf("cat"));
    context->TryCancel();
    std::vector<api::ExecResponse> said;
    ReadAll(*context, *stream, said);
    const auto other = NewContext();
    const auto watch = system_->WatchEvents(other.get(), api::WatchEventsRequest());
    other->TryCancel();
    std::vector<api::Event> told;
    EXPECT_FALSE(ReadAll(*other, *watch, told).ok());
  }

  EXPECT_TRUE(List().ok());
}

TEST_F(ServerTest, ClosesOnStreamsThatAreOpen) {
  MakeBox();
  const auto exec_context = NewContext();
  const auto exec = execs_->Exec(exec_context.get());
  exec->Write(StartOf("sleep 1000"));
  api::ExecResponse started;
  ASSERT_TRUE(exec->Read(&started));
  const auto watch_context = NewContext();
  const auto watch = system_->WatchEvents(watch_context.get(), api::WatchEventsRequest());
  watch->WaitForInitialMetadata();

  server_->Shutdown();

  std::vector<api::ExecResponse> said;
  EXPECT_FALSE(ReadAll(*exec_context, *exec, said).ok());
  std::vector<api::Event> told;
  EXPECT_FALSE(ReadAll(*watch_context, *watch, told).ok());
}

// What a call of one answer is told when the daemon ends under it.
void ExpectEnded(const CallEnd& end) {
  EXPECT_THAT(end.code, AnyOf(grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::CANCELLED)) << end;
}

TEST_F(ServerTest, ClosesOnACommandThatIsCollected) {
  MakeBox();
  CallEnd end;
  std::thread client([&] {
    api::RunRequest run;
    *run.mutable_start() = StartOf("sleep 1000").start();
    end = Call(execs_, &api::ExecService::Stub::Run, run);
  });
  const auto execs = [&] {
    api::ListExecsResponse list;
    Call(execs_, &api::ExecService::Stub::ListExecs, On<api::ListExecsRequest>("box"), list);
    return list.execs_size();
  };
  while (execs() == 0) std::this_thread::yield();

  server_->Shutdown();

  client.join();
  ExpectEnded(end);
}

TEST_F(ServerTest, ClosesOnASandboxThatIsStarting) {
  daemon_.launcher().after_launch = [](FakeMachine&) {};  // its agent is never ready
  CallEnd end;
  std::thread client([&] {
    api::CreateRequest create;
    create.mutable_spec()->set_name("box");
    end = Call(sandboxes_, &api::SandboxService::Stub::Create, create);
  });
  while (daemon_.launcher().machines() == 0) std::this_thread::yield();

  server_->Shutdown();

  client.join();
  ExpectEnded(end);
  EXPECT_EQ(daemon_.launcher().machines(), 1u) << "the sandbox goes on";
}

}  // namespace
}  // namespace msb
