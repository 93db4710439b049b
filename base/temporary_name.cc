// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/temporary_name.h"

#include <sys/random.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace msb {

std::string TemporaryName() {
  char random[8];
  MSB_CHECK(::getrandom(random, sizeof(random), 0) == sizeof(random));
  return absl::StrCat(".msb-", absl::BytesToHexString({random, sizeof(random)}));
}

}  // namespace msb
