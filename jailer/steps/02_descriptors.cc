// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "jailer/steps/steps.h"

namespace msb {
namespace {

constexpr int kStandardFds[] = {0, 1, 2};

absl::Status SetCloseOnExec(int fd, int flag) {
  return Syscall(absl::StrCat("descriptor ", fd), [&] { return ::fcntl(fd, F_SETFD, flag); })
      .status();
}

absl::Status CloseRange(unsigned first, unsigned last) {
  return Syscall("close_range", [&] { return ::syscall(SYS_close_range, first, last, 0u); })
      .status();
}

// Until step 14 puts there what belongs there.
absl::Status Occupy(int fd) {
  return Syscall(absl::StrCat("descriptor ", fd), [&] { return ::dup3(0, fd, O_CLOEXEC); })
      .status();
}

}  // namespace

absl::Status KeepDescriptors(const Plan& plan) {
  std::vector<int> kept(plan.keep_fds);
  kept.insert(kept.end(), std::begin(kStandardFds), std::end(kStandardFds));
  for (int fd : kept) MSB_RETURN_IF_ERROR(SetCloseOnExec(fd, 0));
  for (int fd : {plan.status_fd, plan.exec_fd}) {
    MSB_RETURN_IF_ERROR(SetCloseOnExec(fd, FD_CLOEXEC));
    kept.push_back(fd);
  }

  std::sort(kept.begin(), kept.end());
  unsigned first = 0;
  for (int fd : kept) {
    const unsigned end = static_cast<unsigned>(fd);
    if (first < end) MSB_RETURN_IF_ERROR(CloseRange(first, end - 1));
    first = end + 1;
  }
  MSB_RETURN_IF_ERROR(CloseRange(first, std::numeric_limits<unsigned>::max()));
  for (const OpenRequest& open : plan.opens) MSB_RETURN_IF_ERROR(Occupy(open.fd));
  return absl::OkStatus();
}

}  // namespace msb
