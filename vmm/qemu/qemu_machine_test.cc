// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/qemu/qemu_machine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"
#include "vmm/vhost_user/echo_device.h"

namespace msb {
namespace {

class QemuMachineTest : public ::testing::Test, public MachineObserver {
 protected:
  QemuMachineTest() : loop_(*EventLoop::Create()) {
    std::filesystem::create_directory(directory_.path() + "/lib");
    // Where the machine expects the loader that starts QEMU.
    std::filesystem::create_symlink(MSB_FAKE_QEMU, directory_.path() + "/lib/ld-linux-x86-64.so.2");
  }

  void OnMachineReady() override {
    ready_ = true;
    if (on_ready_ != nullptr) on_ready_();
  }
  void OnEnded(absl::Status why) override {
    EXPECT_FALSE(ended_.has_value());
    ended_ = std::move(why);
    loop_->Stop();
  }

  QemuMachineConfig Config(const std::string& story) {
    QemuMachineConfig config;
    config.memory_mib = 256;
    config.kernel = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    config.initramfs = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    config.directory = directory_.path();
    config.command_line = "story=" + story;
    config.balloon = QemuMachineConfig::Balloon();
    config.devices = {&device_};
    config.console = [this](absl::string_view bytes) {
      console_.append(bytes.data(), bytes.size());
    };
    config.shutdown_announced = [this] { return announced_; };
    return config;
  }
  void Start(QemuMachineConfig config) {
    machine_ = std::make_unique<QemuMachine>(*loop_, *this, std::move(config));
    ASSERT_OK(machine_->Start());
  }
  // Until the machine ends or the test stops the loop.
  void Run() { ASSERT_OK(loop_->Run()); }

  TempDir directory_;
  std::unique_ptr<EventLoop> loop_;
  vhost_user::EchoDevice device_;
  bool ready_ = false;
  bool announced_ = false;
  std::function<void()> on_ready_;
  std::optional<absl::Status> ended_;
  std::string console_;
  std::unique_ptr<QemuMachine> machine_;
};

TEST_F(QemuMachineTest, EndsWithResetWhenTheGuestResetsUnannounced) {
  Start(Config("reset"));

  Run();

  EXPECT_TRUE(ready_);
  EXPECT_THAT(*ended_, HasReason(Reason::kGuestReset));
  EXPECT_EQ(console_, "last words");
}

TEST_F(QemuMachineTest, EndsWithShutdownWhenTheGuestHasAnnouncedIt) {
  announced_ = true;
  Start(Config("reset"));

  Run();

  EXPECT_THAT(*ended_, HasReason(Reason::kGuestShutdown));
}

TEST_F(QemuMachineTest, SaysWhyQemuShutDownByItself) {
  Start(Config("panic"));

  Run();

  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
  EXPECT_THAT(ended_->message(), ::testing::HasSubstr("host-error"));
}

TEST_F(QemuMachineTest, SaysWhatQemuSaidBeforeItCrashed) {
  Start(Config("crash"));

  Run();

  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
  EXPECT_THAT(ended_->message(), ::testing::HasSubstr("signal 6"));
  EXPECT_THAT(ended_->message(), ::testing::HasSubstr("assertion failed"));
}

TEST_F(QemuMachineTest, SaysWhyQemuRefusedToStart) {
  Start(Config("refuse"));

  Run();

  EXPECT_FALSE(ready_);
  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
  EXPECT_THAT(ended_->message(), ::testing::HasSubstr("cannot set up guest memory"));
}

TEST_F(QemuMachineTest, EndsWhenQemuIsKilledFromOutside) {
  // The only child of this process.
  on_ready_ = [] {
    const std::string children = "/proc/self/task/" + std::to_string(::getpid()) + "/children";
    std::ifstream file(children);
    pid_t child = 0;
    file >> child;
    ASSERT_GT(child, 0);
    ASSERT_EQ(::kill(child, SIGKILL), 0);
  };
  Start(Config("serve"));

  Run();

  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
  EXPECT_THAT(ended_->message(), ::testing::HasSubstr("signal 9"));
}

TEST_F(QemuMachineTest, EndsWhenQemuSpeaksNoQmp) {
  Start(Config("babble"));

  Run();

  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
}

TEST_F(QemuMachineTest, EndsWhenQemuBreaksTheVhostUserProtocol) {
  Start(Config("device"));

  Run();

  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
  EXPECT_THAT(ended_->message(), ::testing::HasSubstr("vhost-user"));
}

TEST_F(QemuMachineTest, PausesByQmpAndTellsWhatQemuRefuses) {
  std::optional<absl::Status> paused, resumed;
  Start(Config("serve"));
  machine_->Pause([&](absl::Status status) { paused = std::move(status); });
  machine_->Resume([&](absl::Status status) {
    resumed = std::move(status);
    loop_->Stop();
  });

  Run();

  EXPECT_OK(*paused);
  EXPECT_THAT(*resumed, HasReason(Reason::kQemuError));
  EXPECT_THAT(resumed->message(), ::testing::HasSubstr("not now"));
}

TEST_F(QemuMachineTest, AnswersWhatIsUnderWayWhenQemuDies) {
  std::optional<absl::Status> paused;
  Start(Config("crash"));
  machine_->Pause([&](absl::Status status) { paused = std::move(status); });

  Run();

  ASSERT_TRUE(paused.has_value());
  EXPECT_FALSE(paused->ok());
}

TEST_F(QemuMachineTest, CountsWhatTheBalloonHolds) {
  Start(Config("serve"));
  ASSERT_OK(machine_->SetBalloon(100));
  machine_->Pause([&](const absl::Status&) { loop_->Stop(); });  // answered behind the balloon

  Run();

  EXPECT_EQ(machine_->stats().balloon_mib(), 100u);
  EXPECT_THAT(machine_->SetBalloon(256), HasReason(Reason::kInvalidArgument));
}

TEST_F(QemuMachineTest, HasNoBalloonUnlessItWasMadeWithOne) {
  QemuMachineConfig config = Config("serve");
  config.balloon.reset();
  Start(std::move(config));

  EXPECT_THAT(machine_->SetBalloon(1), HasReason(Reason::kUnsupportedByEngine));
}

TEST_F(QemuMachineTest, StopsWithoutAWordToTheObserver) {
  Start(Config("serve"));

  machine_->Stop();

  EXPECT_FALSE(ended_.has_value());
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // no child is left
}

TEST_F(QemuMachineTest, DoesNotStartWithoutQemu) {
  QemuMachineConfig config = Config("serve");
  config.directory = directory_.path() + "/absent";
  Start(std::move(config));

  Run();

  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
  EXPECT_THAT(std::string(ended_->message()), ::testing::HasSubstr("could not be executed"));
}

UniqueFd FileOf(absl::string_view bytes) {
  UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), 0),
            static_cast<ssize_t>(bytes.size()));
  return file;
}

UniqueFd MemoryImage(uint64_t mib) {
  UniqueFd file(::memfd_create("image", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(mib << 20)), 0);
  return file;
}

TEST_F(QemuMachineTest, GoesOnFromASnapshotAndIsReadyThen) {
  QemuMachineConfig config = Config("");
  config.kernel.Reset();
  config.initramfs.Reset();
  config.restore = BootSnapshotFiles{.memory = MemoryImage(256), .state = FileOf("4444")};
  on_ready_ = [this] { loop_->Stop(); };
  Start(std::move(config));

  Run();

  EXPECT_TRUE(ready_);
  EXPECT_FALSE(ended_.has_value());
}

TEST_F(QemuMachineTest, SaysThatAStateIsBroken) {
  QemuMachineConfig config = Config("");
  config.restore = BootSnapshotFiles{.memory = MemoryImage(256), .state = FileOf("333")};
  Start(std::move(config));

  Run();

  EXPECT_FALSE(ready_);
  EXPECT_THAT(*ended_, HasReason(Reason::kQemuError));
  EXPECT_THAT(ended_->message(), ::testing::HasSubstr("boot snapshot"));
}

TEST_F(QemuMachineTest, RefusesAnImageOfAnotherSize) {
  QemuMachineConfig config = Config("");
  config.restore = BootSnapshotFiles{.memory = MemoryImage(128), .state = FileOf("4444")};
  machine_ = std::make_unique<QemuMachine>(*loop_, *this, std::move(config));

  EXPECT_THAT(machine_->Start(), HasReason(Reason::kStateInvalid));
}

TEST_F(QemuMachineTest, SavesTheMemoryBesideTheState) {
  QemuMachineConfig config = Config("serve");
  UniqueFd memory(::memfd_create("memory", MFD_CLOEXEC));
  const UniqueFd seen(::dup(memory.get()));
  config.save = BootSnapshotFiles{.memory = std::move(memory), .state = FileOf("")};
  absl::Status saved = absl::UnknownError("not called");
  on_ready_ = [&] {
    machine_->SaveBootSnapshot([&](absl::Status status) {
      saved = std::move(status);
      loop_->Stop();
    });
  };
  Start(std::move(config));

  Run();

  EXPECT_OK(saved);
  EXPECT_EQ(::lseek(seen.get(), 0, SEEK_END), off_t{256} << 20);
}

TEST_F(QemuMachineTest, SavesNoMachineThatWasNotMadeForIt) {
  Start(Config("serve"));
  absl::Status saved;
  machine_->SaveBootSnapshot([&](absl::Status status) { saved = std::move(status); });

  EXPECT_THAT(saved, HasReason(Reason::kInternalBug));
}

}  // namespace
}  // namespace msb
