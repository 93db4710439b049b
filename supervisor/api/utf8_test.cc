// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/utf8.h"

#include <gtest/gtest.h>

namespace msb {
namespace {

TEST(Utf8Test, WellFormedTextStaysAsItIs) {
  const std::string text = "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7";
  EXPECT_EQ(Utf8OrReplaced(text), text);
}

TEST(Utf8Test, EveryBadByteIsReplaced) {
  const std::string mark = "\xef\xbf\xbd";
  EXPECT_EQ(Utf8OrReplaced("a\xff"
                           "b"),
            "a" + mark + "b");
  EXPECT_EQ(Utf8OrReplaced("\xc3"), mark);                                   // cut
  EXPECT_EQ(Utf8OrReplaced("\xc0\xaf"), mark + mark);                        // overlong
  EXPECT_EQ(Utf8OrReplaced("\xed\xa0\x80"), mark + mark + mark);             // surrogate
  EXPECT_EQ(Utf8OrReplaced("\xf4\x90\x80\x80"), mark + mark + mark + mark);  // beyond the end
}

}  // namespace
}  // namespace msb
