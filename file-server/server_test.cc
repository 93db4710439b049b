// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "base/check.h"
#include "file-server/hanging_file_system.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

template <typename T>
std::string Bytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

class ServerTest : public testing::Test {
 protected:
  ServerTest() { Begin(Exports()); }
  ~ServerTest() override {
    guest_.Reset();
    hanging_.reset();
    if (thread_.joinable()) thread_.join();
  }
  void Begin(std::vector<Export> exports) {
    session_ =
        std::make_unique<Session>(std::move(exports), IdentityMap::PassThrough(), SessionLimits{});
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    guest_ = UniqueFd(ends[0]);
    // What hangs ends the test.
    const timeval longest{.tv_sec = 30, .tv_usec = 0};
    ::setsockopt(guest_.get(), SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof(longest));
    server_ = std::make_unique<Server>(UniqueFd(ends[1]), *session_);
    thread_ = std::thread([this] { result_ = server_->Run(kThreads, [this] { ++started_; }); });
  }
  absl::Status End() {
    guest_.Reset();
    thread_.join();
    return result_;
  }

  std::vector<Export> Exports() {
    directory_.Write("file", std::string(3 << 20, 'f'));
    std::vector<Export> exports;
    exports.push_back(
        {UniqueFd(::open(directory_.path().c_str(), O_PATH | O_CLOEXEC)), Access::kReadWrite});
    return exports;
  }
  void Send(const std::string& bytes) {
    MSB_CHECK(::send(guest_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(bytes.size()));
  }
  static std::string Request(uint32_t opcode, uint64_t node, uint64_t unique,
                             const std::string& body) {
    fuse_in_header header = {};
    header.len = static_cast<uint32_t>(sizeof(header) + body.size());
    header.opcode = opcode;
    header.nodeid = node;
    header.unique = unique;
    return Bytes(header) + body;
  }
  fuse_out_header Receive(std::string* body = nullptr) {
    fuse_out_header header = {};
    MSB_CHECK(::recv(guest_.get(), &header, sizeof(header), MSG_WAITALL) == sizeof(header));
    std::string rest(header.len - sizeof(header), '\0');
    if (!rest.empty()) {
      MSB_CHECK(::recv(guest_.get(), rest.data(), rest.size(), MSG_WAITALL) ==
                static_cast<ssize_t>(rest.size()));
    }
    if (body != nullptr) *body = rest;
    return header;
  }
  uint64_t Lookup(uint64_t node, const std::string& name) {
    Send(Request(FUSE_LOOKUP, node, 1, name + std::string(1, '\0')));
    std::string body;
    MSB_CHECK(Receive(&body).error == 0);
    fuse_entry_out entry;
    std::memcpy(&entry, body.data(), sizeof(entry));
    return entry.nodeid;
  }

  TempDir directory_;
  TempDir place_;  // of hanging_
  static constexpr int kThreads = 3;

  std::unique_ptr<HangingFileSystem> hanging_;
  std::unique_ptr<Session> session_;
  std::atomic<int> started_ = 0;
  UniqueFd guest_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  absl::Status result_;
};

TEST_F(ServerTest, AnswersWithTheNumberOfTheRequest) {
  Send(Request(FUSE_GETATTR, FUSE_ROOT_ID, 77, Bytes(fuse_getattr_in{})));
  const fuse_out_header header = Receive();
  EXPECT_EQ(header.unique, 77u);
  EXPECT_EQ(header.error, 0);
  Send(Request(FUSE_IOCTL, FUSE_ROOT_ID, 78, ""));
  EXPECT_EQ(Receive().error, -ENOSYS);
  EXPECT_OK(End());
}

TEST_F(ServerTest, AnswersOnceAllThreadsHaveStarted) {
  Send(Request(FUSE_GETATTR, FUSE_ROOT_ID, 1, Bytes(fuse_getattr_in{})));
  Receive();
  EXPECT_EQ(started_, kThreads);
}

TEST_F(ServerTest, ServesRequestsThatArriveInPieces) {
  const std::string request = Request(FUSE_GETATTR, FUSE_ROOT_ID, 5, Bytes(fuse_getattr_in{}));
  Send(request + request + request.substr(0, 13));
  EXPECT_EQ(Receive().unique, 5u);
  EXPECT_EQ(Receive().unique, 5u);
  Send(request.substr(13));
  EXPECT_EQ(Receive().unique, 5u);
}

TEST_F(ServerTest, AnswersNothingToTheNumberZero) {
  Send(Request(FUSE_GETATTR, FUSE_ROOT_ID, 0, Bytes(fuse_getattr_in{})));
  Send(Request(FUSE_GETATTR, FUSE_ROOT_ID, 6, Bytes(fuse_getattr_in{})));
  EXPECT_EQ(Receive().unique, 6u);
}

TEST_F(ServerTest, GoesOnWhileSlowRequestsAreUnderWay) {
  const uint64_t node = Lookup(Lookup(FUSE_ROOT_ID, "0"), "file");
  Send(Request(FUSE_OPEN, node, 1, Bytes(fuse_open_in{.flags = O_RDWR, .open_flags = 0})));
  std::string body;
  ASSERT_EQ(Receive(&body).error, 0);
  fuse_open_out open;
  std::memcpy(&open, body.data(), sizeof(open));
  // More slow ones than there are threads, each with what follows read ahead.
  constexpr int kRequests = 40;
  std::string all;
  for (int i = 0; i < kRequests; ++i) {
    all += Request(FUSE_FSYNC, node, 100 + i, Bytes(fuse_fsync_in{.fh = open.fh}));
  }
  std::string data(1 << 20, 'w');
  fuse_write_in write = {};
  write.fh = open.fh;
  write.size = static_cast<uint32_t>(data.size());
  for (int i = 0; i < 3; ++i) all += Request(FUSE_WRITE, node, 200 + i, Bytes(write) + data);
  std::thread sender([&] { Send(all); });
  for (int i = 0; i < kRequests + 3; ++i) EXPECT_EQ(Receive().error, 0);
  sender.join();
  EXPECT_EQ(directory_.Read("file").substr(0, data.size()), data);
}

TEST_F(ServerTest, AFileSystemThatHangsStopsNobody) {
  hanging_ = HangingFileSystem::Mount(directory_.path(), place_.path());
  if (hanging_ == nullptr) GTEST_SKIP() << "no right to mount";
  ASSERT_OK(End());
  std::vector<Export> exports = Exports();
  exports.push_back(
      {UniqueFd(::open((place_.path() + "/0").c_str(), O_PATH | O_CLOEXEC)), Access::kReadWrite});
  Begin(std::move(exports));
  const uint64_t local = Lookup(FUSE_ROOT_ID, "0");
  const uint64_t remote = Lookup(FUSE_ROOT_ID, "1");

  Send(Request(FUSE_LOOKUP, remote, 100, std::string("hangs", 6)));
  Send(Request(FUSE_GETATTR, local, 101, Bytes(fuse_getattr_in{})));
  Send(Request(FUSE_GETATTR, remote, 102, Bytes(fuse_getattr_in{})));

  EXPECT_EQ(Receive().unique, 101u);
  EXPECT_EQ(Receive().unique, 102u);
  hanging_->Let();
  const fuse_out_header last = Receive();
  EXPECT_EQ(last.unique, 100u);
  EXPECT_EQ(last.error, -ENOENT);
}

TEST_F(ServerTest, EndsAtWhatIsNoMessage) {
  fuse_in_header header = {};
  header.len = 12;
  Send(Bytes(header));
  thread_.join();
  EXPECT_THAT(result_, HasReason(Reason::kFrameMalformed));
}

TEST_F(ServerTest, EndsAtACutRequest) {
  Send(Request(FUSE_GETATTR, FUSE_ROOT_ID, 5, "body").substr(0, 42));
  EXPECT_THAT(End(), HasReason(Reason::kFrameTruncated));
}

}  // namespace
}  // namespace msb
