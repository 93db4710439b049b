// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// An order to serve that says what it likes, then rings and requests that are what a guest likes.
// The server that msb-fs has serves them, of an empty directory.

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/wait_for.h"
#include "file-server/server.h"
#include "tests/support/fuzz_input.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vmm/any_chains.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/fs/in_flight_table.h"

namespace msb {
namespace {

using fs_handover::Order;
using fs_handover::OrderKind;

constexpr uint16_t kQueueSize = 16;
constexpr uint64_t kQuotaBytes = 1 << 20;  // of the host that it runs on
constexpr absl::Duration kLongest = absl::Seconds(20);

enum class Step : uint8_t { kRequest, kAnyChain, kAnyDescriptor, kAnyHead, kAnyIndex, kAnyBytes };
constexpr uint8_t kSteps = 6;

class Machine {
 public:
  explicit Machine(FuzzInput input)
      : input_(input),
        guest_({.queue_sizes = {kQueueSize, kQueueSize},
                .event_index = input_.Take<uint8_t>() % 2 == 0,
                .memory_bytes = 1 << 20,
                .memory_kind = FakeGuest::MemoryKind::kMemfd}),
        table_(*InFlightTable::Create()) {
    std::ofstream(directory_.path() + "/file") << std::string(100'000, 'f');
    std::vector<Export> exports;
    exports.push_back({UniqueFd(::open(directory_.path().c_str(), O_PATH | O_CLOEXEC)),
                       Access::kReadWrite, Owner{}, kQuotaBytes});
    session_ = std::make_unique<Session>(std::move(exports), IdentityMap::PassThrough(),
                                         SessionLimits{.inodes = 32, .handles = 8});
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    vmm_ = UniqueFd(ends[0]);
    server_ = std::make_unique<Server>(UniqueFd(ends[1]), *session_);
    for (size_t i = 0; i < 2; ++i) {
      events_[i] = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      guest_.queue(i).device().set_events({.kick = events_[i].get(), .call = calls_.get()});
    }
  }

  void Run() {
    std::thread serves([this] { (void)server_->Run(2, [] {}); });
    if (input_.Take<uint8_t>() % 4 == 0) {
      SendAnyOrder();
    } else {
      MSB_CHECK(fs_handover::SendServe(vmm_.get(), guest_.virtqueues(), table_.file()).ok());
    }
    while (!input_.empty() && guest_.free_bytes() > 64 << 10) {
      if (!TakeStep(static_cast<Step>(input_.Take<uint8_t>() % kSteps))) break;
    }
    Stop();
    vmm_.Reset();
    serves.join();
  }

 private:
  // Whatever it was told, the server comes to an end: of its requests, or its own.
  void Stop() {
    if (!fs_handover::SendStop(vmm_.get()).ok()) return;
    fs_handover::Answer answer = {};
    do {
      MSB_CHECK(WaitFor(vmm_.get(), POLLIN, absl::Now() + kLongest).ok());
      if (::recv(vmm_.get(), &answer, sizeof(answer), 0) <= 0) return;
    } while (answer.kind != fs_handover::AnswerKind::kStopped);
  }

  void SendAnyOrder() {
    Order order = {};
    order.kind = OrderKind::kServe;
    order.region_count = 1;
    order.regions[0] = {.guest_address = ToUint64(FakeGuest::kMemoryStart),
                        .bytes = guest_.memory().total_bytes(),
                        .file_offset = 0};
    // The bytes that the input changes.
    for (size_t left = chains_.Byte() % 16; left > 0; --left) {
      const size_t at = input_.Take<uint16_t>() % sizeof(order);
      reinterpret_cast<uint8_t*>(&order)[at] = chains_.Byte();
    }
    const int choice[] = {guest_.memory_fd(), table_.file(), events_[0].get(), calls_.get()};
    std::vector<int> descriptors;
    for (size_t left = chains_.Byte() % kMaxDescriptorsAtOnce; left > 0; --left) {
      descriptors.push_back(choice[chains_.Byte() % 4]);
    }
    (void)SendWithDescriptors(vmm_.get(), {reinterpret_cast<const char*>(&order), sizeof(order)},
                              descriptors);
  }

  bool TakeStep(Step step) {
    const size_t index = chains_.Byte() % 2;
    FakeQueue& queue = guest_.queue(index);
    bool goes_on = true;
    switch (step) {
      case Step::kRequest:
        goes_on =
            chains_.Add(queue, {guest_.Readable(Request()), guest_.Writable(16u + chains_.Byte())});
        break;
      case Step::kAnyChain:
        goes_on = chains_.AddAny(queue);
        break;
      case Step::kAnyDescriptor:
        queue.SetDescriptor(chains_.Byte() % kQueueSize, input_.Take<virtio::Descriptor>());
        break;
      case Step::kAnyHead:
        queue.MakeAvailable(input_.Take<uint16_t>());
        break;
      case Step::kAnyIndex:
        queue.SetAvailableIndex(input_.Take<uint16_t>());
        break;
      case Step::kAnyBytes: {
        const uint64_t at = input_.Take<uint16_t>();
        guest_.Write(GuestAddress{ToUint64(FakeGuest::kMemoryStart) + at},
                     chains_.Text(chains_.Byte()));
        break;
      }
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = ::write(events_[index].get(), &one, sizeof(one));
    return goes_on;
  }
  std::string Request() {
    fuse_in_header header = {};
    header.opcode = chains_.Byte() % 56;
    header.nodeid = chains_.Byte() % 4;
    header.unique = chains_.Byte();
    const std::string body = chains_.Text(chains_.Byte());
    header.len = static_cast<uint32_t>(sizeof(header) + body.size());
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body;
  }
  FuzzInput input_;
  FakeGuest guest_;
  AnyChains chains_{input_, guest_, kQueueSize};
  InFlightTable table_;
  TempDir directory_;
  std::unique_ptr<Session> session_;
  UniqueFd vmm_;
  UniqueFd events_[2];
  UniqueFd calls_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::unique_ptr<Server> server_;
};

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    msb::InitLog("fuzz", msb::LogLevel::kError);
    return true;
  }();
  (void)quiet;
  msb::Machine(msb::FuzzInput(data, size)).Run();
  return 0;
}
