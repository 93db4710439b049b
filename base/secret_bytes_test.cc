// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/secret_bytes.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace msb {
namespace {

// VmFlags of the mapping that `address` lies in.
std::string FlagsOf(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  while (std::getline(maps, line)) {
    unsigned long begin = 0;
    unsigned long end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      const auto at = reinterpret_cast<unsigned long>(address);
      inside = begin <= at && at < end;
    }
    if (inside && line.rfind("VmFlags:", 0) == 0) return line + " ";
  }
  return "";
}

TEST(SecretBytesTest, AreLockedAndLeftOutOfDumps) {
  const SecretBytes secret("hunter2");

  EXPECT_EQ(secret.view(), "hunter2");
  EXPECT_NE(FlagsOf(secret.view().data()).find(" dd "), std::string::npos) << "not MADV_DONTDUMP";
#ifndef MSB_SANITIZED  // AddressSanitizer's mlock does nothing
  EXPECT_NE(FlagsOf(secret.view().data()).find(" lo "), std::string::npos) << "not locked";
#endif
}

TEST(SecretBytesTest, MoveWithoutACopy) {
  SecretBytes first("hunter2");
  const char* const where = first.view().data();

  const SecretBytes second = std::move(first);

  EXPECT_EQ(second.view().data(), where);
}

TEST(SecretBytesTest, WipeOverwritesWhatAStringHadInReserve) {
  std::string text = "a value that is too long for the string's own few bytes";
  const char* const where = text.data();
  const size_t size = text.size();

  Wipe(text);

  EXPECT_TRUE(text.empty());
  text.resize(size);  // within the same allocation
  ASSERT_EQ(text.data(), where);
  EXPECT_EQ(text.find("value"), std::string::npos);
}

}  // namespace
}  // namespace msb
