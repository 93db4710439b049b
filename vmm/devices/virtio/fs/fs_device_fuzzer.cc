// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A guest that puts what it likes into its queues, and a server that says what it likes, writes
// what it likes into the table of requests under way, and dies.

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "tests/support/fuzz_input.h"
#include "tests/support/vmm/any_chains.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/fs/fs_device.h"

namespace msb {
namespace {

using fs_handover::AnswerKind;

constexpr uint16_t kQueueSize = 16;

enum class Step : uint8_t {
  kRequest,
  kAnyChain,
  kAnyDescriptor,
  kAnyAvailableIndex,
  kKick,
  kStopped,
  kBroken,
  kNoise,
  kUnderWay,
  kAnswering,
  kQuiesce,
  kReset,
  kHangUp
};
constexpr uint8_t kSteps = 13;

class Machine {
 public:
  explicit Machine(FuzzInput input)
      : input_(input),
        guest_({.queue_sizes = {kQueueSize, kQueueSize},
                .event_index = input_.Take<uint8_t>() % 2 == 0,
                .memory_bytes = 1 << 20,
                .memory_kind = FakeGuest::MemoryKind::kMemfd}) {
    auto loop = EventLoop::Create();
    MSB_CHECK(loop.ok());
    loop_ = *std::move(loop);
    int ends[2];
    MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    server_ = UniqueFd(ends[1]);
    auto device = FsDevice::Create(*loop_, UniqueFd(ends[0]),
                                   {.tag = "fuzz", .patience = absl::ZeroDuration()});
    MSB_CHECK(device.ok());
    device_ = *std::move(device);
    for (size_t i = 0; i < 2; ++i) {
      kicks_[i] = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      guest_.queue(i).device().set_events({.kick = kicks_[i].get(), .call = kicks_[i].get()});
    }
    MSB_CHECK(device_->Activate(0, guest_.virtqueues()).ok());
  }

  void Run() {
    // Neither memory nor descriptors for long inputs.
    while (!input_.empty() && guest_.free_bytes() > 64 << 10) {
      TakeOrders();
      if (!TakeStep(static_cast<Step>(input_.Take<uint8_t>() % kSteps))) break;
      loop_->Post([this] { loop_->Stop(); });
      MSB_CHECK(loop_->Run().ok());
    }
    server_.Reset();
    device_->Reset();
  }

 private:
  // False when the device has had enough, or the test nothing to go on with.
  bool TakeStep(Step step) {
    const size_t index = input_.Take<uint8_t>() % 2;
    FakeQueue& queue = guest_.queue(index);
    switch (step) {
      case Step::kRequest:
        return chains_.Add(queue,
                           {guest_.Readable(Request()), guest_.Writable(16 + chains_.Byte())});
      case Step::kAnyChain:
        return chains_.AddAny(queue);
      case Step::kAnyDescriptor:
        queue.SetDescriptor(chains_.Byte() % kQueueSize, input_.Take<virtio::Descriptor>());
        return true;
      case Step::kAnyAvailableIndex:
        queue.SetAvailableIndex(input_.Take<uint16_t>());
        return true;
      case Step::kKick:
        return device_->OnNotify(static_cast<uint16_t>(index)).ok();
      case Step::kStopped:
        Say(AnswerKind::kStopped);
        return true;
      case Step::kBroken:
        Say(AnswerKind::kBroken);
        return true;
      case Step::kNoise:
        SayBytes(chains_.Text(chains_.Byte() % 32));
        return true;
      case Step::kUnderWay:
        if (table_.has_value()) table_->Add(index, input_.Take<uint16_t>() % 1024);
        return true;
      case Step::kAnswering:
        if (table_.has_value()) {
          table_->BeginAnswer(index, input_.Take<uint16_t>() & 0x7fff, input_.Take<uint16_t>());
        }
        return true;
      case Step::kQuiesce:
        device_->Quiesce();
        return true;
      case Step::kReset:
        device_->Reset();
        return device_->Activate(0, guest_.virtqueues()).ok();
      case Step::kHangUp:
        server_.Reset();
        return true;
    }
    return false;
  }

  std::string Request() {
    const std::string body = chains_.Text(chains_.Byte());
    virtio::FuseRequestHeader header = {};
    header.length = static_cast<uint32_t>(sizeof(header) + body.size());
    header.unique = chains_.Byte();
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body;
  }
  // Of what the device has said, the newest table.
  void TakeOrders() {
    pollfd ready{.fd = server_.get(), .events = POLLIN, .revents = 0};
    while (server_.valid() && ::poll(&ready, 1, 0) == 1) {
      auto received = fs_handover::ReceiveOrder(server_.get());
      if (!received.ok() || !received->has_value()) return server_.Reset();
      if ((*received)->order.kind != fs_handover::OrderKind::kServe) continue;
      auto grant = fs_handover::CheckServe(**std::move(received));
      MSB_CHECK(grant.ok());
      auto table = InFlightTable::Map(std::move(grant->table));
      MSB_CHECK(table.ok());
      table_.emplace(*std::move(table));
    }
  }
  void Say(AnswerKind kind) {
    fs_handover::Answer answer = {};
    answer.kind = kind;
    for (auto& position : answer.positions) {
      position.next_available = input_.Take<uint16_t>();
      position.next_used =
          chains_.Byte() % 2 == 0 ? position.next_available : input_.Take<uint16_t>();
    }
    SayBytes({reinterpret_cast<const char*>(&answer), sizeof(answer)});
  }
  void SayBytes(const std::string& bytes) {
    if (!server_.valid()) return;
    (void)::send(server_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  FuzzInput input_;
  FakeGuest guest_;
  AnyChains chains_{input_, guest_, kQueueSize};
  std::unique_ptr<EventLoop> loop_;
  UniqueFd server_;
  std::optional<InFlightTable> table_;
  UniqueFd kicks_[2];
  std::unique_ptr<FsDevice> device_;
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
