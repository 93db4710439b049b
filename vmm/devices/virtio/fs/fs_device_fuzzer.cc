// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A guest that sends what it likes, and a server that answers what it likes.

#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "tests/support/fuzz_input.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/fs/fs_device.h"

namespace msb {
namespace {

constexpr size_t kMaxBuffers = 6;

enum class Step : uint8_t { kGoodChain, kAnyChain, kAnswer, kNoise, kReset, kQuiesce, kHangUp };
constexpr uint8_t kSteps = 7;

class Session {
 public:
  explicit Session(FuzzInput input) : input_(input), guest_({.queue_sizes = {16, 16}}) {
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
    MSB_CHECK(device_->Activate(0, guest_.virtqueues()).ok());
  }

  void Run() {
    // Neither memory nor descriptors for long inputs.
    while (!input_.empty() && guest_.free_bytes() > 256 << 10) {
      const auto step = static_cast<Step>(input_.Take<uint8_t>() % kSteps);
      if (!TakeStep(step)) return;
      Turn();
    }
  }

 private:
  bool TakeStep(Step step) {
    switch (step) {
      case Step::kGoodChain:
        return AddRequest(guest_.Readable(GoodRequest()));
      case Step::kAnyChain:
        return AddAnyChain();
      case Step::kAnswer:
        Send(GoodReply());
        return true;
      case Step::kNoise:
        Send(TakeText(input_.Take<uint8_t>()));
        return true;
      case Step::kReset:
        device_->Reset();
        return false;
      case Step::kQuiesce:
        device_->Quiesce();
        return true;
      case Step::kHangUp:
        server_.Reset();
        return true;
    }
    return false;
  }

  std::string TakeText(size_t size) {
    const absl::Span<const uint8_t> bytes = input_.TakeBytes(size);
    return std::string(bytes.begin(), bytes.end());
  }
  std::string GoodRequest() {
    const std::string body = TakeText(input_.Take<uint8_t>());
    FuseRequestHeader header = {};
    header.length = static_cast<uint32_t>(sizeof(header) + body.size());
    header.opcode = input_.Take<uint8_t>();
    header.unique = input_.Take<uint8_t>();
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body;
  }
  std::string GoodReply() {
    const std::string body = TakeText(input_.Take<uint8_t>());
    FuseReplyHeader header = {};
    header.length = static_cast<uint32_t>(sizeof(header) + body.size());
    header.unique = input_.Take<uint8_t>() % 20;
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body;
  }
  bool AddRequest(const FakeBuffer& request) {
    return Add({request, guest_.Writable(16 + input_.Take<uint8_t>()),
                guest_.Writable(1 + input_.Take<uint8_t>())});
  }
  bool AddAnyChain() {
    std::vector<FakeBuffer> buffers;
    for (size_t left = input_.Take<uint8_t>() % kMaxBuffers; left > 0; --left) {
      buffers.push_back(guest_.Readable(TakeText(input_.Take<uint8_t>()) + "."));
    }
    for (size_t left = input_.Take<uint8_t>() % kMaxBuffers; left > 0; --left) {
      buffers.push_back(guest_.Writable(1 + input_.Take<uint8_t>()));
    }
    return buffers.empty() || Add(buffers);
  }
  // False when the device has had enough, or the queue is full.
  bool Add(const std::vector<FakeBuffer>& buffers) {
    const size_t index = input_.Take<uint8_t>() % 2;
    guest_.queue(index).Used();
    descriptors_[index] += buffers.size();
    if (descriptors_[index] > 16) return false;
    guest_.queue(index).AddChain(buffers);
    return device_->OnNotify(static_cast<uint16_t>(index)).ok();
  }
  void Send(const std::string& bytes) {
    if (!server_.valid()) return;
    (void)::send(server_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    char sink[4096];
    (void)::recv(server_.get(), sink, sizeof(sink), MSG_DONTWAIT);
  }
  void Turn() {
    loop_->Post([this] { loop_->Stop(); });
    MSB_CHECK(loop_->Run().ok());
  }

  FuzzInput input_;
  FakeGuest guest_;
  std::unique_ptr<EventLoop> loop_;
  UniqueFd server_;
  std::unique_ptr<FsDevice> device_;
  size_t descriptors_[2] = {};
};

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    msb::InitLog("fuzz", msb::LogLevel::kError);
    return true;
  }();
  (void)quiet;
  msb::Session(msb::FuzzInput(data, size)).Run();
  return 0;
}
