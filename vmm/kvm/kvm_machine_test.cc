// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/kvm/kvm_machine.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/guests/tiny_guests.h"
#include "tests/support/matchers.h"
#include "vmm/boot/mp_table.h"

namespace msb {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint8_t kReady = 3;
constexpr uint8_t kShuttingDown = 4;

// A device that does nothing: enough for its window to be there.
class IdleDevice final : public VirtioDevice {
 public:
  DeviceId id() const override { return DeviceId::kRng; }
  uint64_t features() const override { return 0; }
  absl::Span<const uint16_t> max_queue_sizes() const override { return kSizes; }
  absl::Span<const uint8_t> config() const override { return {}; }
  void WriteConfig(uint32_t, absl::Span<const uint8_t>) override {}
  absl::Status Activate(uint64_t, absl::Span<Virtqueue* const>) override {
    return absl::OkStatus();
  }
  absl::Status OnNotify(uint16_t) override { return absl::OkStatus(); }
  void Reset() override {}
  msb::vmm::v1::DeviceState Save() const override { return {}; }
  absl::Status Restore(const msb::vmm::v1::DeviceState&) override { return absl::OkStatus(); }

 private:
  static constexpr std::array<uint16_t, 1> kSizes = {64};
};

class KvmMachineTest : public ::testing::Test, public MachineObserver {
 protected:
  // The vCPUs are confined here too.
  static void SetUpTestSuite() { PrepareLibraries(); }
  void SetUp() override {
    config_.kvm = UniqueFd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!config_.kvm.valid()) GTEST_SKIP() << "no /dev/kvm";
    ASSERT_OK_AND_ASSIGN(loop_, EventLoop::Create());
    config_.memory_mib = 64;
    config_.console = [this](absl::string_view bytes) { absl::StrAppend(&console_, bytes); };
    config_.boot_mark = [this](uint8_t stage) { OnMark(stage); };
    config_.shutdown_announced = [this] { return announced_; };
  }

  void Start(absl::string_view code) {
    config_.kernel = TinyKernel(code);
    machine_ = std::make_unique<KvmMachine>(*loop_, *this, std::move(config_));
    ASSERT_OK(machine_->Start());
  }
  // Serves until `stage` has been marked, or the machine has ended.
  void RunUntilMark(uint8_t stage) {
    wanted_mark_ = stage;
    ASSERT_OK(loop_->Run());
  }
  void RunUntilEnd() {
    wanted_mark_ = 0;
    if (why_.has_value()) return;
    ASSERT_OK(loop_->Run());
  }
  Machine::Done StopLoop(absl::Status* result) {
    return [this, result](absl::Status status) {
      *result = std::move(status);
      loop_->Stop();
    };
  }

  void OnMachineReady() override { ++ready_; }
  void OnEnded(absl::Status why) override {
    EXPECT_FALSE(why_.has_value()) << "told twice";
    why_ = std::move(why);
    loop_->Stop();
  }
  void OnMark(uint8_t stage) {
    marks_.push_back(stage);
    if (stage == kShuttingDown) announced_ = true;
    if (stage == wanted_mark_) loop_->Stop();
  }

  std::unique_ptr<EventLoop> loop_;
  KvmMachineConfig config_;
  IdleDevice device_;
  std::string console_;
  std::vector<int> marks_;
  uint8_t wanted_mark_ = 0;
  bool announced_ = false;
  int ready_ = 0;
  std::optional<absl::Status> why_;
  // Last: what the guest said shortly before its end arrives while the machine goes.
  std::unique_ptr<KvmMachine> machine_;
};

TEST_F(KvmMachineTest, BootsAKernelAndShowsItsConsole) {
  Start(MSB_TINY_GUEST(hello));
  EXPECT_EQ(ready_, 1);
  RunUntilMark(kReady);
  EXPECT_EQ(console_, "hi\n");
  EXPECT_GE(machine_->stats().vcpu_exits(), 4u);
}

TEST_F(KvmMachineTest, BootsInMemoryThatOthersMapToo) {
  config_.shares_memory = true;
  Start(MSB_TINY_GUEST(hello));
  RunUntilMark(kReady);
  EXPECT_EQ(console_, "hi\n");
}

TEST_F(KvmMachineTest, AnAnnouncedResetIsAShutdown) {
  Start(MSB_TINY_GUEST(orderly_end));
  RunUntilEnd();
  EXPECT_THAT(*why_, HasReason(Reason::kGuestShutdown));
  EXPECT_THAT(marks_, ElementsAre(3, 4));
}

TEST_F(KvmMachineTest, ATripleFaultOutOfTheBlueIsAReset) {
  Start(MSB_TINY_GUEST(triple_fault));
  RunUntilEnd();
  EXPECT_THAT(*why_, HasReason(Reason::kGuestReset));
  EXPECT_THAT(why_->message(), HasSubstr("triple fault on vCPU 0"));
  EXPECT_THAT(why_->message(), HasSubstr("console log"));
}

TEST_F(KvmMachineTest, TheKeyboardControllerResets) {
  Start(MSB_TINY_GUEST(reset));
  RunUntilEnd();
  EXPECT_THAT(*why_, HasReason(Reason::kGuestReset));
}

TEST_F(KvmMachineTest, AnInternalErrorEndsTheMachineWithItsCause) {
  Start(MSB_TINY_GUEST(run_device));
  RunUntilEnd();
  EXPECT_THAT(*why_, HasReason(Reason::kKvmInternalError));
  EXPECT_THAT(why_->message(), HasSubstr("suberror="));
}

TEST_F(KvmMachineTest, ReadsTheMagicOfAVirtioDevice) {
  config_.devices = {&device_};
  Start(MSB_TINY_GUEST(mmio_value_to_console));
  RunUntilMark(kReady);
  EXPECT_EQ(console_, "virt");
}

TEST_F(KvmMachineTest, PausesAndResumesAsOftenAsAsked) {
  Start(MSB_TINY_GUEST(chatter));
  RunUntilMark(kReady);
  for (int round = 0; round < 20; ++round) {
    absl::Status paused = absl::UnknownError("not called"), resumed = paused;
    machine_->Pause(StopLoop(&paused));
    ASSERT_OK(loop_->Run());
    EXPECT_OK(paused);
    const uint64_t exits = machine_->stats().vcpu_exits();
    machine_->Pause(StopLoop(&paused));  // of a paused machine
    ASSERT_OK(loop_->Run());
    EXPECT_OK(paused);
    EXPECT_EQ(machine_->stats().vcpu_exits(), exits);

    machine_->Resume(StopLoop(&resumed));
    ASSERT_OK(loop_->Run());
    EXPECT_OK(resumed);
  }
  RunUntilMark(1);
}

UniqueFd EmptyFile() { return UniqueFd(::memfd_create("snapshot", MFD_CLOEXEC)); }

// Counts in memory for ever; one that goes on from a snapshot counts on from there.
TEST_F(KvmMachineTest, GoesOnWhereItWasSavedAnyNumberOfTimes) {
  const UniqueFd memory = EmptyFile(), state = EmptyFile();
  config_.save = {.memory = UniqueFd(::dup(memory.get())), .state = UniqueFd(::dup(state.get()))};
  Start(MSB_TINY_GUEST(chatter));
  RunUntilMark(kReady);
  absl::Status saved = absl::UnknownError("not called");
  machine_->SaveBootSnapshot(StopLoop(&saved));
  ASSERT_OK(loop_->Run());
  ASSERT_OK(saved);
  machine_->Stop();

  for (const bool shares_memory : {false, true, false}) {
    marks_.clear();
    KvmMachineConfig config;
    config.kvm = UniqueFd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    config.memory_mib = 64;
    config.shares_memory = shares_memory;
    config.boot_mark = [this](uint8_t stage) { OnMark(stage); };
    config.devices = {&device_};  // that the snapshot has not
    // The state's own offset is at its beginning.
    const std::string path = absl::StrCat("/proc/self/fd/", state.get());
    config.restore = {.memory = UniqueFd(::dup(memory.get())),
                      .state = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC))};
    machine_ = std::make_unique<KvmMachine>(*loop_, *this, std::move(config));
    ASSERT_OK(machine_->Start());
    RunUntilMark(1);
    EXPECT_FALSE(why_.has_value());
    // It does not begin again.
    EXPECT_THAT(marks_, Not(Contains(kReady)));
    machine_->Stop();
  }
}

TEST_F(KvmMachineTest, AStateThatIsNoneIsRefused) {
  UniqueFd memory = EmptyFile();
  ASSERT_EQ(::ftruncate(memory.get(), 64 << 20), 0);
  config_.restore = {.memory = std::move(memory), .state = EmptyFile()};
  machine_ = std::make_unique<KvmMachine>(*loop_, *this, std::move(config_));
  EXPECT_THAT(machine_->Start(), HasReason(Reason::kStateInvalid));
}

TEST_F(KvmMachineTest, AnEmptyPlaceIsADeviceWithoutAnId) {
  config_.save = {.memory = EmptyFile(), .state = EmptyFile()};
  Start(MSB_TINY_GUEST(mmio_value_to_console));
  RunUntilMark(kReady);
  EXPECT_EQ(console_, "virt");  // the magic value of the first place
}

TEST_F(KvmMachineTest, KeepsTheOrderOfPausesAndResumes) {
  config_.vcpus = 2;
  Start(MSB_TINY_GUEST(spin));
  std::string order;
  const auto note = [&order](char name) {
    return [&order, name](absl::Status status) { order.push_back(status.ok() ? name : 'x'); };
  };
  machine_->Resume(note('a'));
  machine_->Pause(note('b'));
  machine_->Resume(note('c'));
  machine_->Pause(note('d'));
  machine_->Pause([&](absl::Status) { machine_->Resume(note('e')); });
  absl::Status last;
  machine_->Pause(StopLoop(&last));
  ASSERT_OK(loop_->Run());
  EXPECT_OK(last);
  EXPECT_EQ(order, "abcde");
}

TEST_F(KvmMachineTest, StopEndsASpinningGuestAndFailsWhatWasAskedFor) {
  Start(MSB_TINY_GUEST(spin));
  absl::Status paused;
  machine_->Pause([&](absl::Status status) { paused = std::move(status); });
  machine_->Stop();
  EXPECT_THAT(paused, HasReason(Reason::kSandboxStopped));
  EXPECT_FALSE(why_.has_value());
}

TEST_F(KvmMachineTest, StopWhilePausedAndPauseBehindIt) {
  Start(MSB_TINY_GUEST(spin));
  absl::Status status;
  machine_->Pause(StopLoop(&status));
  ASSERT_OK(loop_->Run());
  machine_->Stop();
  machine_->Stop();
  machine_->Pause([&](absl::Status result) { status = std::move(result); });
  EXPECT_THAT(status, HasReason(Reason::kSandboxStopped));
}

TEST_F(KvmMachineTest, ASecondProcessorStarts) {
  config_.vcpus = 2;
  Start(MSB_TINY_GUEST(start_second));
  RunUntilMark(2);
  EXPECT_THAT(marks_, ::testing::Contains(2));
}

TEST_F(KvmMachineTest, PausesThirtyTwoProcessorsOfWhichOneRuns) {
  config_.vcpus = kMaxVcpus;
  Start(MSB_TINY_GUEST(chatter));
  RunUntilMark(kReady);
  for (int round = 0; round < 3; ++round) {
    absl::Status paused = absl::UnknownError("not called"), resumed = paused;
    machine_->Pause(StopLoop(&paused));
    ASSERT_OK(loop_->Run());
    EXPECT_OK(paused);
    machine_->Resume(StopLoop(&resumed));
    ASSERT_OK(loop_->Run());
    EXPECT_OK(resumed);
  }
}

TEST_F(KvmMachineTest, NamesWhatIsWrongWithTheKernel) {
  config_.kernel = MemoryFile("#!/bin/sh\n");
  machine_ = std::make_unique<KvmMachine>(*loop_, *this, std::move(config_));
  EXPECT_THAT(machine_->Start(), HasReason(Reason::kKernelInvalid));
  EXPECT_EQ(ready_, 0);
}

TEST_F(KvmMachineTest, NamesADescriptorThatIsNotKvm) {
  config_.kvm = MemoryFile("");
  config_.kernel = TinyKernel(MSB_TINY_GUEST(halt));
  machine_ = std::make_unique<KvmMachine>(*loop_, *this, std::move(config_));
  EXPECT_THAT(machine_->Start(), HasReason(Reason::kKvmUnavailable));
}

TEST_F(KvmMachineTest, RefusesMoreDevicesThanInterruptLines) {
  config_.kernel = TinyKernel(MSB_TINY_GUEST(halt));
  config_.devices.assign(KvmMachine::kMaxDevices + 1, &device_);
  machine_ = std::make_unique<KvmMachine>(*loop_, *this, std::move(config_));
  EXPECT_THAT(machine_->Start(), HasReason(Reason::kVmSpecInvalid));
}

TEST_F(KvmMachineTest, HasNoBalloonUnlessThereIsOne) {
  Start(MSB_TINY_GUEST(halt));
  EXPECT_THAT(machine_->SetBalloon(1), HasReason(Reason::kUnsupportedByEngine));
}

}  // namespace
}  // namespace msb
