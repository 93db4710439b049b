// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A hostile front end with a hostile guest: any sequence of messages, with any descriptors, kicks
// in between, over memory that the input writes too.
//
// Input: a sequence of steps, each an opcode byte and its bytes:
//   0..127   message: request = byte, u8 flags (bit 0 needs_reply), u8 payload length, payload, u8
//            number of descriptors and a kind byte for each
//   128..191 kick of ring (byte & 3)
//   192..255 write to guest memory: u16 address / 8, u8 length, bytes

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/event_loop.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/vhost_user/echo_device.h"
#include "vmm/vhost_user/fake_front_end.h"
#include "vmm/vhost_user/session.h"

namespace msb::vhost_user {
namespace {

class Input {
 public:
  explicit Input(absl::string_view bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(bytes_[0]);
    bytes_.remove_prefix(1);
    return byte;
  }
  absl::string_view Take(size_t count) {
    const absl::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(taken.size());
    return taken;
  }

 private:
  absl::string_view bytes_;
};

FakeGuest::Options GuestOptions() {
  FakeGuest::Options options;
  options.queue_sizes = {8, 8, 8};
  options.memory_bytes = 1 << 16;
  options.memory_kind = FakeGuest::MemoryKind::kMemfd;
  return options;
}

class HostileFrontEnd {
 public:
  HostileFrontEnd() : guest_(GuestOptions()), loop_(*EventLoop::Create()) {
    for (UniqueFd& event : events_) event = UniqueFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    session_ = std::make_unique<Session>(*loop_, device_, tables_);
  }

  void Run(Input input) {
    while (!input.empty()) {
      const uint8_t opcode = input.Byte();
      if (opcode < 128) {
        if (!SendMessage(opcode, input)) return;
      } else if (opcode < 192) {
        Kick(opcode & 3);
      } else {
        WriteMemory(input);
      }
    }
  }

 private:
  bool SendMessage(uint8_t request, Input& input) {
    Message message{.request = Request{request}, .needs_reply = (input.Byte() & 1) != 0};
    message.payload = std::string(input.Take(input.Byte()));
    const int descriptors = input.Byte() % (kMaxDescriptors + 1);
    for (int i = 0; i < descriptors; ++i) message.descriptors.push_back(Descriptor(input.Byte()));
    return session_->Handle(std::move(message)).ok();
  }

  UniqueFd Descriptor(uint8_t kind) {
    if (kind < 64) return Duplicate(events_[kind % 4].get());
    if (kind < 192) return Duplicate(guest_.memory_fd());
    return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  }

  void Kick(int ring) {
    const uint64_t one = 1;
    MSB_CHECK(::write(events_[ring].get(), &one, sizeof(one)) == sizeof(one));
    loop_->Post([this] { loop_->Stop(); });
    MSB_CHECK(loop_->Run().ok());
  }

  void WriteMemory(Input& input) {
    const uint64_t offset =
        (input.Byte() | uint64_t{input.Byte()} << 8) * 8 % guest_.memory().total_bytes();
    const absl::string_view bytes = input.Take(input.Byte());
    if (bytes.size() > guest_.memory().total_bytes() - offset) return;
    guest_.Write(*Offset(FakeGuest::kMemoryStart, offset), bytes);
  }

  FakeGuest guest_;
  std::unique_ptr<EventLoop> loop_;
  EchoDevice device_;
  MemoryTables tables_;
  UniqueFd events_[4];
  std::unique_ptr<Session> session_;
};

}  // namespace
}  // namespace msb::vhost_user

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::vhost_user::HostileFrontEnd().Run(
      msb::vhost_user::Input(absl::string_view(reinterpret_cast<const char*>(data), size)));
  return 0;
}
