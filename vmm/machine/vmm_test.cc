// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/machine/vmm.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/frames.h"
#include "base/unix_socket.h"
#include "tests/guests/tiny_guests.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"
#include "vmm/machine/vm_spec.h"

namespace msb {
namespace {

using msb::vmm::v1::ControlRequest;
using msb::vmm::v1::ControlResponse;
using msb::vmm::v1::VmEvent;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A whole VMM but for its process: real KVM, a tiny guest, files and sockets in a directory.
class VmmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const int kvm = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) GTEST_SKIP() << "no /dev/kvm";
    ASSERT_OK_AND_ASSIGN(loop_, EventLoop::Create());
    spec_.set_id("test");
    spec_.set_engine(msb::vmm::v1::ENGINE_KVM);
    spec_.set_vcpus(1);
    spec_.set_memory_mib(64);
    spec_.mutable_kvm()->set_kvm_fd(kvm);
    spec_.set_control_fd(Listen("control"));
    spec_.mutable_console()->set_fd(File("console"));
    spec_.set_exit_event_fd(File("exit"));
  }

  int File(const std::string& name) {
    return ::open((dir_.path() + "/" + name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  }
  int Listen(const std::string& name) { return ListenUnix(dir_.path() + "/" + name)->Release(); }

  void Make(absl::string_view code) { Make(TinyKernel(code)); }
  void Make(UniqueFd kernel) {
    spec_.set_kernel_fd(kernel.Release());
    ASSERT_OK(ValidateSpec(spec_));
    // The thread of these tests has more to do than a VMM's loop; vmm_main_test is confined.
    vmm_ = std::make_unique<Vmm>(*loop_, spec_, EventJournal::NowNanoseconds(),
                                 Seccomp::kOffForDebugging);
  }

  // Connects before the machine runs, as a supervisor does; `on_answer` sees every response.
  void Connect(std::function<void(const ControlResponse&)> on_answer) {
    client_ = *ConnectUnix(dir_.path() + "/control", Blocking::kNo);
    on_answer_ = std::move(on_answer);
    ASSERT_OK(loop_->Watch(client_.get(), EPOLLIN, [this](uint32_t) { OnAnswers(); }));
  }
  void Ask(const std::function<void(ControlRequest&)>& fill) {
    ControlRequest request;
    request.set_id(1);
    fill(request);
    ASSERT_OK(WriteFrame(client_.get(), request.SerializeAsString(), absl::InfiniteFuture()));
  }
  void Watch() {
    Ask([](ControlRequest& r) { r.mutable_watch(); });
  }

  VmEvent ExitEvent() {
    FrameReader reader;
    reader.Append(dir_.Read("exit"));
    VmEvent event;
    const auto frame = reader.Next();
    EXPECT_TRUE(frame.ok() && frame->has_value());
    if (frame.ok() && frame->has_value()) {
      EXPECT_TRUE(event.ParseFromArray((*frame)->data(), static_cast<int>((*frame)->size())));
    }
    EXPECT_EQ(reader.buffered(), 0u);
    return event;
  }
  std::vector<int> Kinds() const {
    std::vector<int> kinds;
    const msb::vmm::v1::Status status = vmm_->status();
    for (const VmEvent& event : status.events()) kinds.push_back(event.kind());
    return kinds;
  }

  TempDir dir_;
  std::unique_ptr<EventLoop> loop_;
  msb::vmm::v1::VmSpec spec_;
  std::unique_ptr<Vmm> vmm_;

 private:
  void OnAnswers() {
    char buffer[4096];
    const ssize_t got = ::recv(client_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got <= 0) return loop_->Unwatch(client_.get());
    answers_.Append({buffer, static_cast<size_t>(got)});
    while (true) {
      const auto frame = answers_.Next();
      ASSERT_OK(frame);
      if (!frame->has_value()) return;
      ControlResponse response;
      ASSERT_TRUE(response.ParseFromArray((*frame)->data(), static_cast<int>((*frame)->size())));
      on_answer_(response);
    }
  }

  UniqueFd client_;
  FrameReader answers_;
  std::function<void(const ControlResponse&)> on_answer_;
};

TEST_F(VmmTest, AnAnnouncedEndIsAShutdownAndLeavesWord) {
  Make(MSB_TINY_GUEST(orderly_end));
  EXPECT_THAT(vmm_->Run(), HasReason(Reason::kGuestShutdown));

  EXPECT_THAT(Kinds(), ElementsAre(VmEvent::KIND_PROCESS_STARTED, VmEvent::KIND_MACHINE_READY,
                                   VmEvent::KIND_AGENT_READY, VmEvent::KIND_SHUTTING_DOWN,
                                   VmEvent::KIND_ENDED));
  EXPECT_EQ(vmm_->status().state(), msb::vmm::v1::VM_STATE_ENDED);
  EXPECT_EQ(ExitEvent().kind(), VmEvent::KIND_ENDED);
  EXPECT_EQ(ExitEvent().reason(), static_cast<int>(Reason::kGuestShutdown));
  uint64_t last = 0;
  const msb::vmm::v1::Status status = vmm_->status();
  for (const VmEvent& event : status.events()) {
    EXPECT_GE(event.monotonic_ns(), last);
    last = event.monotonic_ns();
  }
}

TEST_F(VmmTest, AnUnannouncedEndIsAReset) {
  Make(MSB_TINY_GUEST(triple_fault));
  EXPECT_THAT(vmm_->Run(), HasReason(Reason::kGuestReset));
  EXPECT_EQ(ExitEvent().reason(), static_cast<int>(Reason::kGuestReset));
  EXPECT_THAT(ExitEvent().detail(), HasSubstr("triple fault"));
}

TEST_F(VmmTest, ReplacesAnOlderExitEventThatWasLonger) {
  dir_.Write("exit", std::string(10'000, 'x'));
  Make(MSB_TINY_GUEST(triple_fault));
  EXPECT_FALSE(vmm_->Run().ok());
  EXPECT_EQ(ExitEvent().kind(), VmEvent::KIND_ENDED);
}

TEST_F(VmmTest, WritesTheConsoleToItsFile) {
  Make(MSB_TINY_GUEST(hello));
  Connect([this](const ControlResponse& answer) {
    if (answer.event().kind() == VmEvent::KIND_AGENT_READY) vmm_->RequestStop();
  });
  Watch();
  EXPECT_THAT(vmm_->Run(), HasReason(Reason::kStoppedByRequest));
  EXPECT_EQ(dir_.Read("console"), "hi\n");
  EXPECT_EQ(vmm_->stats().console_bytes(), 3u);
}

TEST_F(VmmTest, AKernelThatCannotBeLoadedEndsItWithTheReason) {
  Make(MemoryFile("not a kernel"));
  EXPECT_THAT(vmm_->Run(), HasReason(Reason::kKernelInvalid));
  EXPECT_EQ(ExitEvent().reason(), static_cast<int>(Reason::kKernelInvalid));
}

TEST_F(VmmTest, AGuestThatIsNeverReadyRunsOutOfTime) {
  spec_.set_boot_timeout_ms(1);
  Make(MSB_TINY_GUEST(spin));
  const absl::Status end = vmm_->Run();
  EXPECT_THAT(end, HasReason(Reason::kSandboxStartTimeout));
  EXPECT_THAT(end.message(), HasSubstr("after 1 ms: the agent had not started"));
}

TEST_F(VmmTest, AReadyGuestHasTime) {
  spec_.set_boot_timeout_ms(60'000);
  Make(MSB_TINY_GUEST(marks));
  bool ready = false;
  Connect([&](const ControlResponse& answer) {
    if (answer.event().kind() != VmEvent::KIND_AGENT_READY) return;
    ready = true;
    EXPECT_EQ(vmm_->status().state(), msb::vmm::v1::VM_STATE_RUNNING);
    vmm_->RequestStop();
  });
  Watch();
  EXPECT_THAT(vmm_->Run(), HasReason(Reason::kStoppedByRequest));
  EXPECT_TRUE(ready);
}

TEST_F(VmmTest, PausesResumesAndStopsByItsSocket) {
  Make(MSB_TINY_GUEST(chatter));
  std::vector<std::string> story;
  Connect([&](const ControlResponse& answer) {
    if (answer.has_status()) {
      story.push_back(answer.status().state() == msb::vmm::v1::VM_STATE_PAUSED ? "paused"
                                                                               : "other");
      return Ask([](ControlRequest& r) { r.mutable_resume(); });
    }
    ASSERT_TRUE(answer.has_ok());
    story.push_back("ok");
    if (story.size() == 1) return Ask([](ControlRequest& r) { r.mutable_status(); });
    if (story.size() == 3) return Ask([](ControlRequest& r) { r.mutable_stop(); });
  });
  Ask([](ControlRequest& r) { r.mutable_pause(); });
  EXPECT_THAT(vmm_->Run(), HasReason(Reason::kStoppedByRequest));
  EXPECT_THAT(story, ElementsAre("ok", "paused", "ok"));
  EXPECT_THAT(Kinds(), ::testing::IsSupersetOf({VmEvent::KIND_PAUSED, VmEvent::KIND_RESUMED}));
}

TEST_F(VmmTest, TellsAWatcherOfTheEndBeforeItHangsUp) {
  Make(MSB_TINY_GUEST(triple_fault));
  const UniqueFd watcher = *ConnectUnix(dir_.path() + "/control", Blocking::kYes);
  ControlRequest request;
  request.mutable_watch();
  ASSERT_OK(WriteFrame(watcher.get(), request.SerializeAsString(), absl::InfiniteFuture()));
  // The end may come before the watcher is served; then it hears nothing, and reads the exit event.
  EXPECT_FALSE(vmm_->Run().ok());
  vmm_.reset();
  std::vector<int> kinds;
  while (true) {
    const auto frame = ReadFrame(watcher.get(), absl::InfiniteFuture());
    if (!frame.ok() || !frame->has_value()) break;
    ControlResponse response;
    ASSERT_TRUE(response.ParseFromString(**frame));
    kinds.push_back(response.event().kind());
  }
  if (!kinds.empty()) {
    EXPECT_EQ(kinds.back(), VmEvent::KIND_ENDED);
  }
  EXPECT_EQ(ExitEvent().kind(), VmEvent::KIND_ENDED);
}

TEST_F(VmmTest, BoundsWhatABalloonMayAskFor) {
  spec_.mutable_balloon()->set_enabled(true);
  Make(MSB_TINY_GUEST(marks));
  std::vector<int> reasons;
  Connect([&](const ControlResponse& answer) {
    if (answer.has_error()) reasons.push_back(answer.error().reason());
    if (answer.has_ok()) vmm_->RequestStop();
  });
  Ask([](ControlRequest& r) { r.set_set_balloon_mib(65); });
  Ask([](ControlRequest& r) { r.set_set_balloon_mib(32); });
  EXPECT_FALSE(vmm_->Run().ok());
  EXPECT_THAT(reasons, ElementsAre(static_cast<int>(Reason::kInvalidArgument)));
}

TEST_F(VmmTest, BuildsEveryDeviceOfTheSpec) {
  for (const char* id : {"root", "data"}) {
    msb::vmm::v1::Disk* disk = spec_.add_disks();
    disk->set_id(id);
    dir_.Write(id, std::string(4096, '\0'));
    disk->set_fd(File(id));
  }
  spec_.mutable_vsock()->set_guest_cid(3);
  spec_.mutable_vsock()->set_listener_fd(Listen("vsock"));
  spec_.set_rng(true);
  spec_.mutable_balloon()->set_enabled(true);
  Make(MSB_TINY_GUEST(mmio_value_to_console));
  Connect([this](const ControlResponse& answer) {
    if (answer.event().kind() == VmEvent::KIND_AGENT_READY) vmm_->RequestStop();
  });
  Watch();
  EXPECT_THAT(vmm_->Run(), HasReason(Reason::kStoppedByRequest));
  EXPECT_EQ(dir_.Read("console"), "virt");
  const msb::vmm::v1::Stats stats = vmm_->stats();
  ASSERT_EQ(stats.disks_size(), 2);
  EXPECT_EQ(stats.disks(0).id(), "root");
  EXPECT_EQ(stats.disks(1).id(), "data");
}

TEST_F(VmmTest, NamesTheDiskThatIsNone) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const UniqueFd writer(pipe[1]);
  spec_.add_disks()->set_id("root");
  spec_.mutable_disks(0)->set_fd(pipe[0]);
  Make(MSB_TINY_GUEST(halt));
  const absl::Status end = vmm_->Run();
  EXPECT_THAT(end, HasReason(Reason::kVmSpecInvalid));
  EXPECT_THAT(end.message(), HasSubstr("disks[0].fd"));
}

// The agent's words, which come by vsock in a real guest.
TEST_F(VmmTest, AnAgentThatCannotGoOnEndsTheMachineWithItsWords) {
  Make(MSB_TINY_GUEST(spin));
  loop_->Post([this] {
    msb::agent::v1::BootMark mark;
    mark.set_stage(msb::agent::v1::BootMark::STAGE_FAILED);
    mark.set_detail("no root\n");
    vmm_->OnBootMark(mark);
  });
  const absl::Status end = vmm_->Run();
  EXPECT_THAT(end, HasReason(Reason::kSandboxStartFailed));
  EXPECT_THAT(ExitEvent().detail(), HasSubstr("no root\\x0a"));
  EXPECT_THAT(end.message(), HasSubstr("no root\n"));
}

TEST_F(VmmTest, AStageCountsOnceHoweverOftenItIsMarked) {
  Make(MSB_TINY_GUEST(chatter));
  const auto ask_for_stats = [this] { Ask([](ControlRequest& r) { r.mutable_stats(); }); };
  Connect([&](const ControlResponse& answer) {
    if (answer.stats().vcpu_exits() > 500) return vmm_->RequestStop();
    ask_for_stats();
  });
  ask_for_stats();
  EXPECT_FALSE(vmm_->Run().ok());
  EXPECT_THAT(Kinds(), ElementsAre(VmEvent::KIND_PROCESS_STARTED, VmEvent::KIND_MACHINE_READY,
                                   VmEvent::KIND_AGENT_READY, VmEvent::KIND_AGENT_STARTED,
                                   VmEvent::KIND_ENDED));
}

}  // namespace
}  // namespace msb
