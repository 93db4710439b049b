// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/store/ids.h"

#include <sys/random.h>

#include <cstdint>

#include "base/check.h"

namespace msb {
namespace {

// Five bits a character: no l, o, u, i, so that an id can be read aloud and spells no word.
constexpr char kAlphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr size_t kIdBytes = 20;

}  // namespace

std::string NewId() {
  uint8_t random[kIdBytes];
  // Up to 256 bytes come whole, once the kernel's pool has been seeded.
  MSB_CHECK(::getrandom(random, sizeof(random), 0) == sizeof(random));
  std::string id;
  for (const uint8_t byte : random) id.push_back(kAlphabet[byte % 32]);
  return id;
}

}  // namespace msb
