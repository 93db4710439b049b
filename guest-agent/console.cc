// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/console.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace msb {

void WriteConsole(absl::string_view line) {
  const std::string text = absl::StrCat("msb-agent: ", line, "\n");
  // A console that cannot be written has nowhere to complain to.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace msb
