// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace msb {
namespace {

TEST(Utf8Test, TellsWellFormedText) {
  for (const char* good : {"", "plain", "\u017elu\u0165", "\u65e5\u672c", "\U0001F600"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
}

TEST(Utf8Test, RefusesWhatRfc3629Refuses) {
  for (const char* bad : {"\xff", "\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80"}) {
    EXPECT_FALSE(IsUtf8(bad)) << std::string(bad);
  }
}

TEST(Utf8Test, EveryByteIsInOneCharacter) {
  const std::string text = "a\xff\u017e\xe2\x82z";
  std::string again;
  ForEachCharacter(text,
                   [&](const Character& one) { again.append(one.bytes.data(), one.bytes.size()); });

  EXPECT_EQ(again, text);
  EXPECT_EQ(Columns(text), 6u);
}

}  // namespace
}  // namespace msb
