// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The process as its launcher sees it: arguments, descriptors, exit status.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/frames.h"
#include "base/unix_socket.h"
#include "msb/vmm/v1/control.pb.h"
#include "msb/vmm/v1/vm_spec.pb.h"
#include "tests/guests/tiny_guests.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class MainTest : public ::testing::Test {
 protected:
  // A child inherits these: they are not close-on-exec.
  int File(const std::string& name) {
    return Keep(::open((dir_.path() + "/" + name).c_str(), O_RDWR | O_CREAT, 0600));
  }
  int Keep(int fd) {
    ::fcntl(fd, F_SETFD, 0);
    return files_.emplace_back(fd).get();
  }

  pid_t Spawn(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), MSB_VMM_BINARY);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, File("stdout"), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, File("stderr"), STDERR_FILENO);
    pid_t pid = -1;
    EXPECT_EQ(::posix_spawn(&pid, MSB_VMM_BINARY, &actions, nullptr, argv.data(), environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    return pid;
  }
  int Wait(pid_t pid) {
    int status = -1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  int Run(std::vector<std::string> arguments) { return Wait(Spawn(std::move(arguments))); }

  bool FillSpec(absl::string_view guest) {
    const int kvm = ::open("/dev/kvm", O_RDWR);
    if (kvm < 0) return false;
    spec_.set_id("test");
    spec_.set_engine(msb::vmm::v1::ENGINE_KVM);
    spec_.set_vcpus(1);
    spec_.set_memory_mib(64);
    spec_.mutable_kvm()->set_kvm_fd(Keep(kvm));
    spec_.set_kernel_fd(Keep(TinyKernel(guest).Release()));
    spec_.set_control_fd(Keep(ListenUnix(dir_.path() + "/control")->Release()));
    spec_.set_exit_event_fd(File("exit"));
    return true;
  }
  std::vector<std::string> SpecArguments() {
    std::string frame;
    AppendFrame(spec_.SerializeAsString(), frame);
    return {"--spec-fd", std::to_string(Keep(MemoryFile(frame).Release()))};
  }
  int ExitReason() {
    FrameReader reader;
    reader.Append(dir_.Read("exit"));
    const auto frame = reader.Next();
    msb::vmm::v1::VmEvent event;
    if (frame.ok() && frame->has_value()) {
      EXPECT_TRUE(event.ParseFromArray((*frame)->data(), static_cast<int>((*frame)->size())));
    }
    return event.reason();
  }

  TempDir dir_;
  std::vector<UniqueFd> files_;
  msb::vmm::v1::VmSpec spec_;
};

TEST_F(MainTest, SaysItsVersionAndItsUse) {
  EXPECT_EQ(Run({"--version"}), 0);
  EXPECT_THAT(dir_.Read("stdout"), StartsWith("msb-vmm "));
  EXPECT_EQ(Run({"--help"}), 0);
  EXPECT_THAT(dir_.Read("stdout"), HasSubstr("--spec-fd N"));
}

TEST_F(MainTest, RefusesALineThatItDoesNotUnderstand) {
  EXPECT_EQ(Run({}), 2);
  EXPECT_EQ(Run({"--spec-fd"}), 2);
  EXPECT_EQ(Run({"--spec-fd", "x"}), 2);
  EXPECT_EQ(Run({"--log-level", "loud"}), 2);
  EXPECT_EQ(Run({"run"}), 2);
}

TEST_F(MainTest, ProbesAnythingThatIsCalledKvm) {
  EXPECT_EQ(Run({"--probe-kvm", "--kvm-fd", std::to_string(Keep(MemoryFile("").Release()))}), 0);
  EXPECT_THAT(dir_.Read("stdout"), StartsWith(R"({"kvm":"unusable",)"));
}

TEST_F(MainTest, NeedsASpec) {
  const int empty = Keep(MemoryFile("").Release());
  EXPECT_EQ(Run({"--spec-fd", std::to_string(empty)}), 1);
  EXPECT_EQ(Run({"--spec-fd", "900"}), 1);
  EXPECT_THAT(dir_.Read("stderr"), HasSubstr("no spec to run"));
}

TEST_F(MainTest, AnOrderlyEndOfTheGuestIsSuccess) {
  if (!FillSpec(MSB_TINY_GUEST(orderly_end))) GTEST_SKIP() << "no /dev/kvm";
  EXPECT_EQ(Run(SpecArguments()), 0);
  EXPECT_EQ(ExitReason(), static_cast<int>(Reason::kGuestShutdown));
}

TEST_F(MainTest, AnyOtherEndIsNot) {
  if (!FillSpec(MSB_TINY_GUEST(triple_fault))) GTEST_SKIP() << "no /dev/kvm";
  EXPECT_EQ(Run(SpecArguments()), 1);
  EXPECT_EQ(ExitReason(), static_cast<int>(Reason::kGuestReset));
}

TEST_F(MainTest, AnInvalidSpecLeavesWordToo) {
  if (!FillSpec(MSB_TINY_GUEST(halt))) GTEST_SKIP() << "no /dev/kvm";
  spec_.set_vcpus(99);
  EXPECT_EQ(Run(SpecArguments()), 1);
  EXPECT_EQ(ExitReason(), static_cast<int>(Reason::kVmSpecInvalid));
  EXPECT_THAT(dir_.Read("stderr"), HasSubstr("vcpus: 99 is not in 1..32"));
}

TEST_F(MainTest, LeavesAnErrorOnlyWhereAFileMayNotGrow) {
  spec_.set_id("test");
  spec_.set_exit_event_fd(File("exit"));
  const std::vector<std::string> arguments = SpecArguments();
  rlimit whole{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &whole), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = whole.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);  // a child inherits it
  const pid_t pid = Spawn(arguments);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &whole), 0);
  EXPECT_EQ(Wait(pid), 1);  // and not SIGXFSZ
}

TEST_F(MainTest, StopsOnTerminationAndSaysSo) {
  if (!FillSpec(MSB_TINY_GUEST(spin))) GTEST_SKIP() << "no /dev/kvm";
  const pid_t pid = Spawn(SpecArguments());
  // It serves its socket once the machine runs; a watch that answers has seen it do so.
  const UniqueFd client = *ConnectUnix(dir_.path() + "/control", Blocking::kYes);
  msb::vmm::v1::ControlRequest request;
  request.mutable_status();
  ASSERT_OK(WriteFrame(client.get(), request.SerializeAsString(), absl::InfiniteFuture()));
  ASSERT_OK(ReadFrame(client.get(), absl::InfiniteFuture()));
  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  EXPECT_EQ(Wait(pid), 0);
  EXPECT_EQ(ExitReason(), static_cast<int>(Reason::kStoppedByRequest));
}

}  // namespace
}  // namespace msb
