// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Assertions on absl::Status and absl::StatusOr (Debian 12's Abseil has no status matchers).

#ifndef MSB_TESTS_SUPPORT_MATCHERS_H_
#define MSB_TESTS_SUPPORT_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "base/error.h"
#include "base/status_macros.h"

namespace msb::testing_internal {

inline testing::AssertionResult IsOkPredicate(const char* expression, const absl::Status& status) {
  if (status.ok()) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << expression << " is " << status << " [" << ReasonName(ReasonOf(status)) << "]";
}

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace msb::testing_internal

#define ASSERT_OK(expression)                                 \
  ASSERT_PRED_FORMAT1(::msb::testing_internal::IsOkPredicate, \
                      ::msb::testing_internal::StatusOf(expression))
#define EXPECT_OK(expression)                                 \
  EXPECT_PRED_FORMAT1(::msb::testing_internal::IsOkPredicate, \
                      ::msb::testing_internal::StatusOf(expression))

// Fails the test, from a function that returns void, when `expression` is an error.
#define ASSERT_OK_AND_ASSIGN(lhs, expression) \
  ASSERT_OK_AND_ASSIGN_NAMED(MSB_STATUS_CONCAT(msb_asserted_, __LINE__), lhs, expression)
#define ASSERT_OK_AND_ASSIGN_NAMED(result, lhs, expression) \
  auto result = (expression);                               \
  ASSERT_OK(result.status());                               \
  lhs = *std::move(result)

namespace msb {

// EXPECT_THAT(status, HasReason(Reason::kKernelInvalid)), for a Status or a StatusOr.
MATCHER_P(HasReason, reason, "has reason " + std::string(ReasonName(reason))) {
  const absl::Status status = ::msb::testing_internal::StatusOf(arg);
  *result_listener << status << " [" << ReasonName(ReasonOf(status)) << "]";
  return ReasonOf(status) == reason;
}

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_MATCHERS_H_
