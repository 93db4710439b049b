// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A hostile QEMU: any bytes on the monitor, with commands under way. The first byte says in pieces
// of which size the others come.

#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "vmm/qemu/qmp_client.h"

namespace msb {
namespace {

class Listener final : public QmpObserver {
 public:
  void OnQmpReady() override {}
  void OnQmpShutdown(absl::string_view) override {}
  void OnQmpBalloonChange(uint64_t) override {}
  void OnQmpEnd(absl::Status) override { MSB_CHECK(!ended_++); }

 private:
  int ended_ = 0;
};

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static msb::EventLoop* const loop = msb::EventLoop::Create()->release();
  int ends[2];
  MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  const msb::UniqueFd qemu(ends[0]);
  msb::Listener listener;
  auto client = *msb::QmpClient::Create(*loop, msb::UniqueFd(ends[1]), listener);
  int answers = 0;
  client->Stop([&](const absl::Status&) { ++answers; });
  client->Balloon(1, [&](const absl::Status&) { ++answers; });
  const size_t piece = data[0] + size_t{1};
  for (size_t at = 1; at < size; at += piece) {
    if (::send(qemu.get(), data + at, std::min(piece, size - at), MSG_NOSIGNAL) < 0) break;
    client->Drain();
  }
  MSB_CHECK(answers <= 2);
  return 0;
}
