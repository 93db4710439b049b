// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Early return on an error, in one line.

#ifndef MSB_BASE_STATUS_MACROS_H_
#define MSB_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace msb::status_internal {

inline absl::Status ToStatus(absl::Status status) { return status; }

template <typename T>
absl::Status ToStatus(absl::StatusOr<T> result) {
  return std::move(result).status();
}

}  // namespace msb::status_internal

// Returns from the calling function when `expr`, a Status or a StatusOr whose value is not wanted,
// is an error.
#define MSB_RETURN_IF_ERROR(expr)                                                               \
  do {                                                                                          \
    if (::absl::Status msb_status = ::msb::status_internal::ToStatus(expr); !msb_status.ok()) { \
      return msb_status;                                                                        \
    }                                                                                           \
  } while (false)

// Declares or assigns `lhs` from the value of `expr`, or returns its error. A type that contains a
// comma needs an alias or parentheses of its own.
#define MSB_ASSIGN_OR_RETURN(lhs, expr) \
  MSB_ASSIGN_OR_RETURN_NAMED(MSB_STATUS_CONCAT(msb_result_, __LINE__), lhs, expr)

#define MSB_ASSIGN_OR_RETURN_NAMED(result, lhs, expr)  \
  auto result = (expr);                                \
  if (!result.ok()) return std::move(result).status(); \
  lhs = *std::move(result)

#define MSB_STATUS_CONCAT(a, b) MSB_STATUS_CONCAT_INNER(a, b)
#define MSB_STATUS_CONCAT_INNER(a, b) a##b

#endif  // MSB_BASE_STATUS_MACROS_H_
