// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/error.h"

#include <gtest/gtest.h>

namespace msb {
namespace {

TEST(ErrorTest, CarriesReasonCodeAndDetail) {
  const absl::Status status = MakeError(Reason::kSandboxNotFound, "no sandbox box1");

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "no sandbox box1");
  EXPECT_EQ(ReasonOf(status), Reason::kSandboxNotFound);
}

TEST(ErrorTest, WithReasonKeepsTheMessageOfTheHost) {
  const absl::Status status =
      WithReason(Reason::kHostError, "create a socket", absl::ErrnoToStatus(EMFILE, "socket"));

  EXPECT_EQ(ReasonOf(status), Reason::kHostError);
  EXPECT_EQ(status.message().substr(0, 24), "create a socket: socket:");
}

TEST(ErrorTest, ReasonOfAPlainStatusIsUnspecified) {
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), Reason::kUnspecified);
  EXPECT_EQ(ReasonOf(absl::OkStatus()), Reason::kUnspecified);
}

TEST(ErrorTest, NumbersOutsideTheCatalogueAreUnspecified) {
  EXPECT_EQ(ReasonFromNumber(20), Reason::kSandboxNotFound);
  EXPECT_EQ(ReasonFromNumber(99999), Reason::kUnspecified);
  EXPECT_EQ(ReasonName(Reason::kSandboxNotFound), "SANDBOX_NOT_FOUND");
}

}  // namespace
}  // namespace msb
