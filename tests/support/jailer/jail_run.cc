// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/jailer/jail_run.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"

namespace msb {
namespace {

constexpr int kExecFd = 10;
constexpr int kStatusFd = 11;
constexpr int kStrayFds[] = {12, 40, 900};
constexpr int kAboveAll = 1000;

struct Pipe {
  Pipe() {
    int ends[2];
    MSB_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    read_end = UniqueFd(ends[0]);
    write_end = UniqueFd(ends[1]);
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

std::string ReadAll(const UniqueFd& fd) {
  std::string text;
  char block[4096];
  ssize_t size;
  while ((size = ::read(fd.get(), block, sizeof(block))) > 0) {
    text.append(block, static_cast<size_t>(size));
  }
  return text;
}

std::map<std::string, std::string> TakeApart(const std::string& text) {
  std::map<std::string, std::string> said;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(line, absl::MaxSplits('=', 1));
    said.insert(pair);
  }
  return said;
}

// Controllers (empty for v2) and mount point of every hierarchy of this host.
std::vector<std::pair<std::string, std::string>> Hierarchies() {
  std::vector<std::pair<std::string, std::string>> found;
  std::ifstream mounts("/proc/self/mounts");
  std::string line;
  while (std::getline(mounts, line)) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields[2] == "cgroup2") found.emplace_back("", fields[1]);
    if (fields[2] != "cgroup") continue;
    std::string controllers;
    for (absl::string_view option : absl::StrSplit(fields[3], ',')) {
      for (absl::string_view known : {"memory", "cpu", "cpuacct", "pids"}) {
        if (option == known) absl::StrAppend(&controllers, controllers.empty() ? "" : ",", known);
      }
    }
    if (!controllers.empty()) found.emplace_back(controllers, fields[1]);
  }
  return found;
}

std::string ControllersOfV2(const std::string& mount) {
  std::ifstream file(mount + "/cgroup.controllers");
  std::string controllers;
  std::string word;
  while (file >> word) {
    if (word != "memory" && word != "cpu" && word != "pids") continue;
    absl::StrAppend(&controllers, controllers.empty() ? "" : ",", word);
  }
  return controllers;
}

}  // namespace

std::optional<std::string> NoJailHere() {
  if (::geteuid() != 0) return "needs root";
  return std::nullopt;
}

JailRun::JailRun() : executable(MSB_JAIL_PROBE_PATH) {
  flags = {"--id=test-box",
           absl::StrCat("--status-fd=", kStatusFd),
           absl::StrCat("--exec-fd=", kExecFd),
           absl::StrCat("--root=", folder_.path()),
           absl::StrCat("--uid=", kUid),
           absl::StrCat("--gid=", kUid)};
}

JailRun::~JailRun() {
  for (const auto& [controller, path] : CgroupFolders()) {
    ::rmdir(path.c_str());
    ::rmdir(std::filesystem::path(path).parent_path().c_str());
  }
}

void JailRun::Remove(const std::string& flag_prefix) {
  flags.erase(
      std::remove_if(flags.begin(), flags.end(),
                     [&](const std::string& flag) { return absl::StartsWith(flag, flag_prefix); }),
      flags.end());
}

void JailRun::Replace(const std::string& flag_prefix, const std::string& flag) {
  Remove(flag_prefix);
  flags.push_back(flag);
}

void JailRun::UseCgroup() {
  cgroup_ = absl::StrCat("msb-jail-test/", ::getpid());
  flags.push_back(absl::StrCat("--cgroup=", cgroup_));
  for (const auto& [controllers, mount] : Hierarchies()) {
    flags.push_back(controllers.empty()
                        ? absl::StrCat("--cgroup-v2=", ControllersOfV2(mount), ":", mount)
                        : absl::StrCat("--cgroup-v1=", controllers, ":", mount));
  }
}

std::map<std::string, std::string> JailRun::CgroupFolders() const {
  std::map<std::string, std::string> folders;
  if (cgroup_.empty()) return folders;
  for (const auto& [controllers, mount] : Hierarchies()) {
    const std::string folder = absl::StrCat(mount, "/", cgroup_);
    const std::string names = controllers.empty() ? ControllersOfV2(mount) : controllers;
    for (absl::string_view name : absl::StrSplit(names, ',', absl::SkipEmpty())) {
      folders.emplace(name, folder);
    }
    if (controllers.empty()) folders["unified"] = folder;
  }
  return folders;
}

pid_t JailRun::Spawn(const UniqueFd& input, const UniqueFd& output, const UniqueFd& error,
                     const UniqueFd& status) {
  std::vector<std::string> words{MSB_JAILER_PATH};
  words.insert(words.end(), flags.begin(), flags.end());
  for (int fd : kept_fds) words.push_back(absl::StrCat("--keep-fd=", fd));
  words.push_back("--");
  words.insert(words.end(), argv.begin(), argv.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);

  const pid_t child = ::fork();
  if (child != 0) return child;
  // Out of the way of the numbers that are made below.
  const auto above = [](const UniqueFd& fd) { return ::fcntl(fd.get(), F_DUPFD, kAboveAll); };
  const int standard[] = {above(input), above(output), above(error)};
  const int status_fd = above(status);
  const int exec_fd = ::fcntl(::open(executable.c_str(), O_PATH), F_DUPFD, kAboveAll);
  for (int fd = 0; fd < 3; ++fd) ::dup2(standard[fd], fd);
  ::dup2(status_fd, kStatusFd);
  ::dup2(exec_fd, kExecFd);
  for (int fd : kStrayFds) ::dup2(0, fd);
  for (int fd : kept_fds) ::dup2(0, fd);
  for (int capability : without_capabilities) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  if (jailer_uid != 0 && ::setuid(jailer_uid) != 0) ::_exit(1);
  // A sanitizer's search for leaks would start a thread of its own in the jail's cgroup.
  char* const environment[] = {const_cast<char*>("SECRET=of the daemon"),
                               const_cast<char*>("ASAN_OPTIONS=detect_leaks=0"), nullptr};
  ::execve(pointers[0], pointers.data(), environment);
  ::_exit(1);
}

JailResult JailRun::Start() {
  Pipe input;
  Pipe output;
  Pipe error;
  Pipe status;
  const pid_t jailer = Spawn(input.read_end, output.write_end, error.write_end, status.write_end);
  MSB_CHECK(jailer > 0);
  status.write_end.Reset();
  error.write_end.Reset();

  JailResult result;
  result.status = ReadAll(status.read_end);
  int wait_status = 0;
  MSB_CHECK(::waitpid(jailer, &wait_status, 0) == jailer);
  result.exit_code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
  // The probe holds stderr too: it is read to its end only where there is none.
  if (result.exit_code != 0) result.error = ReadAll(error.read_end);
  probe_input_ = std::move(input.write_end);
  probe_output_ = std::move(output.read_end);
  return result;
}

void JailRun::Finish(JailResult& result) {
  probe_input_.Reset();
  result.output = ReadAll(probe_output_);
  result.said = TakeApart(result.output);
  int pid = 0;
  if (!absl::SimpleAtoi(TakeApart(result.status)["pid"], &pid)) return;
  // Our child by CLONE_PARENT: it is reaped here and not by init.
  int wait_status = 0;
  if (::waitpid(pid, &wait_status, 0) == pid) result.probe = wait_status;
}

JailResult JailRun::Run() {
  JailResult result = Start();
  Finish(result);
  return result;
}

}  // namespace msb
