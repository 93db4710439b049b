// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// For tests of msb-fs's server: a guest with its queues, and the VMM that hands them over.

#ifndef MSB_FILE_SERVER_SERVER_FIXTURE_H_
#define MSB_FILE_SERVER_SERVER_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/wait_for.h"
#include "file-server/server.h"
#include "file-server/session/session.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/fs/handover.h"
#include "vmm/devices/virtio/fs/in_flight_table.h"

namespace msb {

template <typename T>
std::string Bytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

class ServerTest : public testing::Test {
 protected:
  static constexpr int kThreads = 3;
  static constexpr size_t kRequests = 1;                         // the queue
  static constexpr absl::Duration kLongest = absl::Seconds(30);  // what hangs ends the test

  ServerTest() { Begin(Exports()); }
  ~ServerTest() override { HangUp(); }

  std::vector<Export> Exports() {
    directory_.Write("file", std::string(3 << 20, 'f'));
    std::vector<Export> exports;
    exports.push_back(
        {UniqueFd(::open(directory_.path().c_str(), O_PATH | O_CLOEXEC)), Access::kReadWrite});
    return exports;
  }
  void Begin(std::vector<Export> exports) {
    session_ =
        std::make_unique<Session>(std::move(exports), IdentityMap::PassThrough(), SessionLimits{});
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    vmm_ = UniqueFd(ends[0]);
    auto table = InFlightTable::Create();
    MSB_CHECK(table.ok());
    table_.emplace(*std::move(table));
    server_ = std::make_unique<Server>(UniqueFd(ends[1]), *session_);
    thread_ = std::thread([this] { result_ = server_->Run(kThreads, [this] { ++started_; }); });
    NewGuest({.queue_sizes = {8, 64}, .memory_bytes = 16 << 20});
  }
  // Another guest, whose queues go to the server.
  void NewGuest(FakeGuest::Options options) {
    options.memory_kind = FakeGuest::MemoryKind::kMemfd;
    guest_ = std::make_unique<FakeGuest>(options);
    for (size_t i = 0; i < fs_handover::kQueues; ++i) {
      kicks_[i] = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      calls_[i] = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      queue(i).device().set_events({.kick = kicks_[i].get(), .call = calls_[i].get()});
    }
    HandOver();
  }
  void HandOver() {
    table_->Clear();
    MSB_CHECK(fs_handover::SendServe(vmm_.get(), guest_->virtqueues(), table_->file()).ok());
  }
  fs_handover::Answer TakeAnswer() {
    fs_handover::Answer answer = {};
    MSB_CHECK(WaitFor(vmm_.get(), POLLIN, absl::Now() + kLongest).ok());
    MSB_CHECK(::recv(vmm_.get(), &answer, sizeof(answer), 0) == sizeof(answer));
    return answer;
  }
  void AskToStop() { MSB_CHECK(fs_handover::SendStop(vmm_.get()).ok()); }
  // Where the queues are afterwards is where the next hand-over begins.
  fs_handover::Answer Stop() {
    AskToStop();
    const fs_handover::Answer answer = TakeAnswer();
    MSB_CHECK(answer.kind == fs_handover::AnswerKind::kStopped);
    for (size_t i = 0; i < fs_handover::kQueues; ++i) {
      queue(i).device().SetPosition(answer.positions[i].next_available,
                                    answer.positions[i].next_used);
    }
    return answer;
  }
  void HangUp() {
    vmm_.Reset();
    if (thread_.joinable()) thread_.join();
  }
  absl::Status End() {
    HangUp();
    return result_;
  }

  FakeQueue& queue(size_t index) { return guest_->queue(index); }
  void Kick(size_t index) {
    const uint64_t one = 1;
    MSB_CHECK(::write(kicks_[index].get(), &one, sizeof(one)) == sizeof(one));
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
  // Puts a request into the queue, with so much room for its reply, and kicks as a driver does.
  FakeChain Send(const std::string& request, uint32_t room = 4096, size_t index = kRequests) {
    std::vector<FakeBuffer> buffers = {guest_->Readable(request)};
    if (room > 0) buffers.push_back(guest_->Writable(room));
    return Send(buffers, index);
  }
  FakeChain Send(const std::vector<FakeBuffer>& buffers, size_t index = kRequests) {
    FakeChain chain = queue(index).AddChain(buffers);
    chains_[chain.head] = chain;
    if (queue(index).WantsKick()) Kick(index);
    return chain;
  }
  // The next that the server gives back: its head.
  virtio::UsedElement TakeUsed(size_t index = kRequests) {
    const absl::Time deadline = absl::Now() + kLongest;
    while (taken_[index].empty()) {
      taken_[index] = queue(index).Used();
      if (!taken_[index].empty()) break;
      // As a driver does it (2.7.14): asks for an interrupt, looks once more, and waits.
      const uint16_t seen = queue(index).used_index();
      queue(index).RequestInterrupt();
      std::atomic_thread_fence(std::memory_order_seq_cst);
      taken_[index] = queue(index).Used();
      if (!taken_[index].empty() || queue(index).used_index() != seen) continue;
      MSB_CHECK(WaitFor(calls_[index].get(), POLLIN, deadline).ok());
      uint64_t count = 0;
      MSB_CHECK(::read(calls_[index].get(), &count, sizeof(count)) == sizeof(count));
    }
    const virtio::UsedElement first = taken_[index].front();
    taken_[index].erase(taken_[index].begin());
    return first;
  }
  // The next reply, from the buffers of its request.
  fuse_out_header Receive(std::string* body = nullptr) {
    const virtio::UsedElement used = TakeUsed();
    const FakeChain& chain = chains_.at(static_cast<uint16_t>(used.id));
    std::string bytes;
    for (size_t i = 1; i < chain.buffers.size(); ++i) bytes += guest_->Read(chain.buffers[i]);
    fuse_out_header header = {};
    MSB_CHECK(used.length >= sizeof(header));
    std::memcpy(&header, bytes.data(), sizeof(header));
    EXPECT_EQ(header.len, used.length);
    if (body != nullptr) *body = bytes.substr(sizeof(header), used.length - sizeof(header));
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
  uint64_t OpenFile(uint64_t node) {
    Send(Request(FUSE_OPEN, node, 1, Bytes(fuse_open_in{.flags = O_RDWR, .open_flags = 0})));
    std::string body;
    MSB_CHECK(Receive(&body).error == 0);
    fuse_open_out open;
    std::memcpy(&open, body.data(), sizeof(open));
    return open.fh;
  }
  std::string GetAttributes(uint64_t unique, uint64_t node = FUSE_ROOT_ID) {
    return Request(FUSE_GETATTR, node, unique, Bytes(fuse_getattr_in{}));
  }

  TempDir directory_;
  std::unique_ptr<Session> session_;
  std::atomic<int> started_ = 0;
  UniqueFd vmm_;
  std::optional<InFlightTable> table_;
  std::unique_ptr<FakeGuest> guest_;
  UniqueFd kicks_[fs_handover::kQueues];
  UniqueFd calls_[fs_handover::kQueues];
  std::map<uint16_t, FakeChain> chains_;  // of the request queue, by head
  std::vector<virtio::UsedElement> taken_[fs_handover::kQueues];
  std::unique_ptr<Server> server_;
  std::thread thread_;
  absl::Status result_;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_SERVER_FIXTURE_H_
