// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/boot_service.h"

#include <memory>
#include <optional>
#include <string>

#include "base/check.h"
#include "base/frames.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using agent::v1::BootConfiguration;

std::string ReadToEnd(HostStream& stream) {
  std::string all;
  char bytes[100];
  while (true) {
    const iovec piece{.iov_base = bytes, .iov_len = sizeof(bytes)};
    const HostStream::Moved moved = stream.Read({&piece, 1});
    all.append(bytes, moved.bytes);
    if (moved.state != HostStream::State::kOpen) {
      EXPECT_EQ(moved.state, HostStream::State::kEnded);
      return all;
    }
  }
}

class BootServiceTest : public testing::Test {
 protected:
  std::unique_ptr<BootService> Make(const std::string& words) {
    auto service = BootService::Create(*loop_, words, kDevices);
    MSB_CHECK(service.ok());
    return *std::move(service);
  }
  static BootConfiguration Received(HostStream& stream) {
    FrameReader frames(1 << 20);
    frames.Append(ReadToEnd(stream));
    const auto frame = frames.Next();
    BootConfiguration configuration;
    EXPECT_TRUE(frame.ok() && frame->has_value() &&
                configuration.ParseFromString(std::string(**frame)));
    return configuration;
  }

  static constexpr uint32_t kDevices = 4;
  const std::unique_ptr<EventLoop> loop_ = EventLoop::Create().value();
};

TEST_F(BootServiceTest, TellsTheWordsAndBringsEntropyAndTheTime) {
  const std::string words(2000, 'w');
  const auto service = Make(words);
  const std::unique_ptr<HostStream> stream = service->Accept(BootService::kLastAgentPort);
  ASSERT_NE(stream, nullptr);
  const BootConfiguration configuration = Received(*stream);
  EXPECT_EQ(configuration.command_line(), words);
  EXPECT_EQ(configuration.boot_devices(), kDevices);
  EXPECT_EQ(configuration.entropy().size(), BootService::kEntropyBytes);
  const absl::Time told = absl::FromUnixNanos(static_cast<int64_t>(configuration.realtime_ns()));
  EXPECT_LT(absl::AbsDuration(absl::Now() - told), absl::Minutes(1));
}

TEST_F(BootServiceTest, NoTwoMachinesGetTheSameEntropy) {
  const auto one = Make("");
  const auto other = Make("");
  EXPECT_NE(Received(*one->Accept(1)).entropy(), Received(*other->Accept(1)).entropy());
}

TEST_F(BootServiceTest, AnswersOnceAndOnlyThePrivileged) {
  const auto service = Make("");
  EXPECT_EQ(service->Accept(BootService::kLastAgentPort + 1), nullptr);
  EXPECT_NE(service->Accept(7), nullptr);
  EXPECT_EQ(service->Accept(7), nullptr);
}

}  // namespace
}  // namespace msb
