// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/launch/process.h"

namespace msb {
namespace {

class FileActions {
 public:
  FileActions() { MSB_CHECK(::posix_spawn_file_actions_init(&actions_) == 0); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;

  // These fail for want of memory alone.
  void Duplicate(int from, int to) {
    MSB_CHECK(::posix_spawn_file_actions_adddup2(&actions_, from, to) == 0);
  }
  void OpenNull(int to) {
    MSB_CHECK(::posix_spawn_file_actions_addopen(&actions_, to, "/dev/null", O_RDWR, 0) == 0);
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

class Attributes {
 public:
  Attributes() {
    MSB_CHECK(::posix_spawnattr_init(&attributes_) == 0);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

}  // namespace

absl::StatusOr<SpawnedProcess> Spawn(const SpawnRequest& request) {
  FileActions actions;
  // Copies above all numbers of the new process, so that no dup2 there overwrites what a later one
  // still needs.
  std::vector<UniqueFd> copies;
  for (const auto& [to, from] : request.fds) {
    MSB_CHECK(to >= 0 && to < kMaxSpawnFd);
    MSB_ASSIGN_OR_RETURN(const int copy, Syscall("duplicate a descriptor", [source = from] {
                           return ::fcntl(source, F_DUPFD_CLOEXEC, kMaxSpawnFd);
                         }));
    copies.emplace_back(copy);
    actions.Duplicate(copy, to);
  }
  for (int standard : {0, 1, 2}) {
    if (request.fds.count(standard) == 0) actions.OpenNull(standard);
  }

  std::vector<std::string> words(request.argv);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char* const environment[] = {nullptr};
  const Attributes attributes;
  SpawnedProcess process;
  const int error = ::posix_spawn(&process.pid, request.path.c_str(), actions.get(),
                                  attributes.get(), argv.data(), environment);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("start ", request.path));
  // Not reaped yet, so that the pid is this process's.
  auto pidfd = OpenPidfd(process.pid);
  if (!pidfd.ok()) {
    ::kill(process.pid, SIGKILL);
    ::waitpid(process.pid, nullptr, 0);
    return pidfd.status();
  }
  process.pidfd = *std::move(pidfd);
  return process;
}

}  // namespace msb
