// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "jailer/steps/steps.h"

namespace msb {

absl::Status Execute(const Plan& plan) {
  std::vector<std::string> words(plan.argv);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char* const environment[] = {nullptr};
  // By descriptor: the jail has no path to the executable.
  ::execveat(plan.exec_fd, "", argv.data(), environment, AT_EMPTY_PATH);
  return absl::ErrnoToStatus(errno, absl::StrCat("execute ", plan.argv[0]));
}

}  // namespace msb
