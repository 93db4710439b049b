// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "jailer/policy/filter.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/kvm.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr SeccompPolicy kThreads[] = {SeccompPolicy::kKvmLoop, SeccompPolicy::kQemuLoop,
                                      SeccompPolicy::kKvmSave, SeccompPolicy::kQemuSave,
                                      SeccompPolicy::kVcpu,    SeccompPolicy::kDisk,
                                      SeccompPolicy::kSecrets, SeccompPolicy::kFileServer};
constexpr SeccompPolicy kAll[] = {SeccompPolicy::kKvmLoop, SeccompPolicy::kQemuLoop,
                                  SeccompPolicy::kKvmSave, SeccompPolicy::kQemuSave,
                                  SeccompPolicy::kVcpu,    SeccompPolicy::kDisk,
                                  SeccompPolicy::kQemu,    SeccompPolicy::kNet,
                                  SeccompPolicy::kSecrets, SeccompPolicy::kFileServer};

class SeccompTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!kSeccompIsBuiltIn) GTEST_SKIP() << "a sanitizer's runtime breaks every policy";
    ASSERT_OK(CheckSeccomp());
  }

  // How a process ends whose only thread is confined and then does `what`: a wait status.
  static int EndOf(SeccompPolicy policy, const std::function<void()>& what) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (!ConfineThread(policy).ok()) ::_exit(2);
      what();
      ::_exit(0);
    }
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status;
  }
  static void ExpectKilled(SeccompPolicy policy, const std::function<void()>& what) {
    const int status = EndOf(policy, what);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        << "policy " << static_cast<int>(policy) << ": wait status " << status;
  }
  static void ExpectRuns(SeccompPolicy policy, const std::function<void()>& what) {
    EXPECT_EQ(EndOf(policy, what), 0) << "policy " << static_cast<int>(policy);
  }
};

TEST_F(SeccompTest, AnOrdinaryEndIsEverybodys) {
  for (const SeccompPolicy policy : kAll) ExpectRuns(policy, [] {});
}

TEST_F(SeccompTest, AbortEndsWithItsOwnSignal) {
  for (const SeccompPolicy policy : kAll) {
    const int status = EndOf(policy, [] { std::abort(); });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << static_cast<int>(policy);
  }
}

TEST_F(SeccompTest, NoThreadOpensConnectsOrExecutes) {
  for (const SeccompPolicy policy : kThreads) {
    if (policy != SeccompPolicy::kFileServer) {
      ExpectKilled(policy, [] { ::open("/etc/passwd", O_RDONLY); });
    }
    ExpectKilled(policy, [] { ::socket(AF_INET, SOCK_STREAM, 0); });
    ExpectKilled(policy, [] { ::syscall(SYS_execve, "/bin/true", nullptr, nullptr); });
    ExpectKilled(policy, [] { ::fork(); });
    ExpectKilled(policy, [] { ::syscall(SYS_ptrace, 0, 0, 0, 0); });
    ExpectKilled(policy, [] { ::syscall(SYS_io_uring_setup, 1, nullptr); });
    ExpectKilled(policy, [] { ::syscall(SYS_bpf, 0, nullptr, 0); });
  }
}

TEST_F(SeccompTest, NoThreadMakesMemoryExecutable) {
  for (const SeccompPolicy policy : kThreads) {
    ExpectKilled(policy, [] {
      ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    });
    ExpectKilled(policy, [] { ::mprotect(nullptr, 4096, PROT_READ | PROT_EXEC); });
    ExpectRuns(policy, [] {
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    });
  }
}

TEST_F(SeccompTest, ArgumentsCount) {
  // ioctl by its request, tgkill and kill by their signals.
  ExpectRuns(SeccompPolicy::kVcpu, [] { ::ioctl(-1, KVM_RUN, 0); });
  ExpectKilled(SeccompPolicy::kVcpu, [] { ::ioctl(-1, KVM_CREATE_VM, 0); });
  ExpectKilled(SeccompPolicy::kKvmLoop, [] { ::ioctl(-1, KVM_RUN, 0); });
  ExpectKilled(SeccompPolicy::kDisk, [] { ::ioctl(-1, KVM_RUN, 0); });
  ExpectRuns(SeccompPolicy::kKvmLoop, [] { ::syscall(SYS_tgkill, -1, -1, SIGRTMIN); });
  ExpectKilled(SeccompPolicy::kKvmLoop, [] { ::syscall(SYS_tgkill, -1, -1, SIGKILL); });
  ExpectRuns(SeccompPolicy::kQemuLoop, [] { ::kill(INT32_MAX, SIGKILL); });
  ExpectKilled(SeccompPolicy::kQemuLoop, [] { ::kill(INT32_MAX, SIGSTOP); });
  ExpectRuns(SeccompPolicy::kQemu, [] { ::syscall(SYS_tgkill, -1, -1, SIGUSR1); });
  ExpectKilled(SeccompPolicy::kQemu, [] { ::syscall(SYS_tgkill, -1, -1, SIGKILL); });
  // Limits of its own, and of no other process.
  ExpectRuns(SeccompPolicy::kQemu,
             [] { ::syscall(SYS_prlimit64, 0, RLIMIT_STACK, nullptr, nullptr); });
  ExpectKilled(SeccompPolicy::kQemu,
               [] { ::syscall(SYS_prlimit64, 1, RLIMIT_STACK, nullptr, nullptr); });
}

TEST_F(SeccompTest, ADiskTakesNoRoomBehindItsEnd) {
  constexpr int kHole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  for (const int mode : {kHole, FALLOC_FL_ZERO_RANGE}) {
    ExpectRuns(SeccompPolicy::kDisk, [mode] { ::fallocate(-1, mode, 0, 1); });
  }
  for (const int mode : {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE}) {
    ExpectKilled(SeccompPolicy::kDisk, [mode] { ::fallocate(-1, mode, 0, 1); });
  }
}

TEST_F(SeccompTest, WhatOneKindMayAnotherMayNot) {
  ExpectRuns(SeccompPolicy::kDisk, [] { ::fdatasync(-1); });
  ExpectKilled(SeccompPolicy::kVcpu, [] { ::fdatasync(-1); });
  ExpectRuns(SeccompPolicy::kKvmLoop, [] { ::syscall(SYS_accept4, -1, nullptr, nullptr, 0); });
  ExpectKilled(SeccompPolicy::kVcpu, [] { ::syscall(SYS_accept4, -1, nullptr, nullptr, 0); });
  ExpectKilled(SeccompPolicy::kKvmLoop, [] { ::kill(INT32_MAX, SIGKILL); });
}

TEST_F(SeccompTest, QemuMakesThreadsAndNoProcesses) {
  ExpectRuns(SeccompPolicy::kQemu, [] { std::thread([] {}).join(); });
  ExpectKilled(SeccompPolicy::kQemu, [] { ::fork(); });
  ExpectKilled(SeccompPolicy::kQemu, [] { ::socket(AF_INET, SOCK_STREAM, 0); });
  ExpectKilled(SeccompPolicy::kQemu, [] { ::syscall(SYS_ptrace, 0, 0, 0, 0); });
  ExpectKilled(SeccompPolicy::kQemu, [] { ::syscall(SYS_mount, 0, 0, 0, 0, 0); });
}

// It depends on chance which thread is the first to wait for another, and when.
TEST_F(SeccompTest, ThreadsThatContendForAMutexNeedNoMoreOnceTheLibrariesArePrepared) {
  for (const SeccompPolicy policy : kThreads) {
    const pid_t child = ::fork();
    if (child == 0) {
      PrepareLibraries();
      absl::Mutex mutex;
      mutex.Lock();
      std::vector<std::thread> others;
      for (int i = 0; i < 3; ++i) {
        others.emplace_back([&] {
          if (!ConfineThread(policy).ok()) ::_exit(2);
          const absl::MutexLock lock(&mutex);
        });
      }
      ::usleep(20'000);  // one spins, then waits; the others wait behind it
      mutex.Unlock();
      for (std::thread& other : others) other.join();
      ::_exit(0);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << static_cast<int>(policy);
  }
}

TEST_F(SeccompTest, TheNetworkHasSocketsOfIpAndNothingElse) {
  for (const int family : {AF_INET, AF_INET6, AF_NETLINK}) {
    ExpectRuns(SeccompPolicy::kNet, [family] { ::socket(family, SOCK_DGRAM, 0); });
  }
  for (const int family : {AF_UNIX, AF_PACKET, AF_VSOCK, AF_ALG}) {
    ExpectKilled(SeccompPolicy::kNet, [family] { ::socket(family, SOCK_DGRAM, 0); });
  }
  ExpectRuns(SeccompPolicy::kNet, [] { ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); });
  ExpectRuns(SeccompPolicy::kNet, [] { ::socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6); });
  ExpectKilled(SeccompPolicy::kNet, [] { ::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); });
  ExpectKilled(SeccompPolicy::kNet, [] { ::socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP); });
  ExpectKilled(SeccompPolicy::kNet, [] { ::socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG); });
  // A pair of datagrams could send to any name of the host's.
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
    const auto pair = [type] {
      int ends[2];
      ::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends);
    };
    if (type == SOCK_DGRAM) {
      ExpectKilled(SeccompPolicy::kNet, pair);
    } else {
      ExpectRuns(SeccompPolicy::kNet, pair);
    }
  }
  ExpectKilled(SeccompPolicy::kNet, [] { ::open("/etc/passwd", O_RDONLY); });
  ExpectKilled(SeccompPolicy::kNet, [] { ::syscall(SYS_execve, "/bin/true", nullptr, nullptr); });
  ExpectKilled(SeccompPolicy::kNet, [] { ::fork(); });
  ExpectKilled(SeccompPolicy::kNet, [] { ::syscall(SYS_ptrace, 0, 0, 0, 0); });
  ExpectKilled(SeccompPolicy::kNet, [] { ::listen(-1, 1); });
  ExpectKilled(SeccompPolicy::kSecrets, [] { ::connect(-1, nullptr, 0); });
  ExpectKilled(SeccompPolicy::kSecrets, [] {
    int ends[2];
    ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
  });
}

TEST_F(SeccompTest, TheFileServerHasFilesAndNothingElse) {
  constexpr SeccompPolicy kPolicy = SeccompPolicy::kFileServer;
  ExpectRuns(kPolicy, [] { ::open("/nowhere", O_RDWR | O_TRUNC); });
  ExpectKilled(kPolicy, [] { ::open("/nowhere", O_WRONLY | O_CREAT, 0600); });
  ExpectKilled(kPolicy, [] { ::open("/nowhere", O_WRONLY | O_TMPFILE, 0600); });
  ExpectRuns(kPolicy, [] { ::mknodat(-1, "fifo", S_IFIFO | 0600, 0); });
  for (const mode_t mode : {S_IFCHR, S_IFBLK, S_IFREG, S_IFIFO | S_ISUID}) {
    ExpectKilled(kPolicy, [mode] { ::mknodat(-1, "made", mode, 0); });
  }
  ExpectRuns(kPolicy, [] { ::chmod("/nowhere", S_ISGID | 0755); });
  ExpectKilled(kPolicy, [] { ::chmod("/nowhere", S_ISUID | 0755); });
  ExpectKilled(kPolicy, [] { ::syscall(SYS_fchownat, -1, "name", 0, 0, AT_SYMLINK_NOFOLLOW); });
  ExpectKilled(kPolicy, [] { ::renameat2(-1, "a", -1, "b", RENAME_WHITEOUT); });
  ExpectKilled(kPolicy, [] { ::unshare(CLONE_NEWUSER); });
  ExpectKilled(kPolicy, [] { ::setns(-1, 0); });
  ExpectKilled(kPolicy, [] { ::mount(nullptr, "/", nullptr, MS_REMOUNT, nullptr); });
  ExpectKilled(kPolicy, [] { ::syscall(SYS_userfaultfd, 0); });
  ExpectKilled(kPolicy, [] { ::syscall(SYS_keyctl, 0, 0, 0, 0, 0); });
  ExpectKilled(kPolicy, [] { ::syscall(SYS_add_key, nullptr, nullptr, nullptr, 0, 0); });
  ExpectKilled(kPolicy, [] { ::ioctl(-1, 0, 0); });
  ExpectKilled(kPolicy, [] { std::thread([] {}).join(); });
}

// The table of another architecture has other numbers.
TEST_F(SeccompTest, CallsOfAnotherTableAreForbidden) {
  for (const SeccompPolicy policy : kAll) {
    constexpr long kX32 = 0x40000000;
    ExpectKilled(policy, [] { ::syscall(kX32 | SYS_getpid); });
  }
}

TEST_F(SeccompTest, AThreadOfAConfinedThreadIsConfinedToo) {
  const int status = EndOf(SeccompPolicy::kQemu,
                           [] { std::thread([] { ::syscall(SYS_ptrace, 0, 0, 0, 0); }).join(); });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

// With it, no exec gives rights; and only with it may a program that is not root set a filter.
TEST_F(SeccompTest, SetsNoNewPrivileges) {
  int confined[2];
  int leave[2];
  ASSERT_EQ(::pipe(confined), 0);
  ASSERT_EQ(::pipe(leave), 0);
  const pid_t child = ::fork();
  char byte = 0;
  if (child == 0) {
    if (!ConfineThread(SeccompPolicy::kDisk).ok()) ::_exit(2);
    ::_exit(::write(confined[1], &byte, 1) == 1 && ::read(leave[0], &byte, 1) == 1 ? 0 : 1);
  }
  ASSERT_EQ(::read(confined[0], &byte, 1), 1);
  std::ifstream file("/proc/" + std::to_string(child) + "/status");
  const std::string status((std::istreambuf_iterator<char>(file)), {});
  EXPECT_THAT(status, AllOf(HasSubstr("NoNewPrivs:\t1\n"), HasSubstr("Seccomp:\t2\n")));

  ASSERT_EQ(::write(leave[1], &byte, 1), 1);
  int end = -1;
  ASSERT_EQ(::waitpid(child, &end, 0), child);
  EXPECT_EQ(end, 0);
  for (const int fd : {confined[0], confined[1], leave[0], leave[1]}) ::close(fd);
}

}  // namespace
}  // namespace msb
