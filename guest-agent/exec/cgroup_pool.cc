// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/exec/cgroup_pool.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace msb {
namespace {

// How many returned cgroups are asked whether they are empty before a new one is made: behind the
// ones that daemons keep, an empty one is worth no long search.
constexpr size_t kMostAsked = 4;

}  // namespace

void ExecCgroup::Kill() const {
  if (!valid()) return;
  const UniqueFd kill(::openat(directory_.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC));
  [[maybe_unused]] const ssize_t written = ::write(kill.get(), "1", 1);
}

bool ExecCgroup::IsEmpty() const {
  char text[64];
  const ssize_t got = ::pread(events_.get(), text, sizeof(text), 0);
  return got > 0 &&
         absl::StrContains(absl::string_view(text, static_cast<size_t>(got)), "populated 0");
}

ExecCgroup CgroupPool::Take() {
  if (directory_.empty()) return ExecCgroup();
  // The latest first: its memory is the warmest. One that is in use goes to the other end.
  for (size_t asked = std::min(kMostAsked, returned_.size()); asked > 0; --asked) {
    ExecCgroup cgroup = std::move(returned_.back());
    returned_.pop_back();
    if (cgroup.IsEmpty()) return cgroup;
    returned_.push_front(std::move(cgroup));
  }
  return Make();
}

void CgroupPool::Return(ExecCgroup cgroup) {
  if (cgroup.valid()) returned_.push_back(std::move(cgroup));
}

ExecCgroup CgroupPool::Make() {
  if (!prepared_) {
    struct statfs file_system {};
    ::mkdir(directory_.c_str(), 0755);
    if (::statfs(directory_.c_str(), &file_system) != 0 ||
        file_system.f_type != CGROUP2_SUPER_MAGIC) {
      directory_.clear();
      return ExecCgroup();
    }
    prepared_ = true;
  }
  const std::string path = absl::StrCat(directory_, "/exec-", next_++);
  ::mkdir(path.c_str(), 0755);
  UniqueFd directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ExecCgroup();
  UniqueFd events(::openat(directory.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
  if (!events.valid()) return ExecCgroup();
  return ExecCgroup(std::move(directory), std::move(events));
}

}  // namespace msb
