// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/machine/boot_snapshot.h"

#include <gtest/gtest.h>

#include <string>

namespace msb {
namespace {

constexpr char kSays[] = "[    0.2] something\r\nmsb-agent: waits for its devices\r\n";

TEST(WaitingAgentDetectorTest, SeesTheLineInWhateverPiecesItComes) {
  for (size_t piece = 1; piece < sizeof(kSays); ++piece) {
    WaitingAgentDetector detector;
    const std::string text = kSays;
    int seen = 0;
    for (size_t at = 0; at < text.size(); at += piece)
      seen += detector.Sees(text.substr(at, piece));
    EXPECT_EQ(seen, 1) << "in pieces of " << piece;
  }
}

TEST(WaitingAgentDetectorTest, OtherWordsAreNotIt) {
  WaitingAgentDetector detector;
  EXPECT_FALSE(detector.Sees("msb-agent: waits for its "));
  EXPECT_FALSE(detector.Sees("turn"));
  EXPECT_FALSE(detector.Sees(" devices"));
}

}  // namespace
}  // namespace msb
