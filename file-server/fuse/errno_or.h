// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A value, or the errno that the guest is to see. The protocol's own error is an errno, and a
// failed lookup is an everyday event: absl::Status would translate twice and allocate in between.

#ifndef MSB_FILE_SERVER_FUSE_ERRNO_OR_H_
#define MSB_FILE_SERVER_FUSE_ERRNO_OR_H_

#include <cerrno>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"

namespace msb {

// An errno; kNone is success.
enum class [[nodiscard]] Errno : int{kNone = 0};

inline Errno LastErrno() { return static_cast<Errno>(errno); }

template <typename T>
class [[nodiscard]] ErrnoOr {
 public:
  ErrnoOr(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  ErrnoOr(Errno error) : error_(error) {          // NOLINT(google-explicit-constructor)
    MSB_CHECK(error != Errno::kNone);
  }
  // ErrnoOr<UniqueFd> Open() { ... return ErrnoValue(EROFS); }
  bool ok() const { return value_.has_value(); }
  Errno error() const { return error_; }
  T& operator*() & { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }

 private:
  std::optional<T> value_;
  Errno error_ = Errno::kNone;
};

constexpr Errno ErrnoValue(int value) { return static_cast<Errno>(value); }

// Calls `call` again while a signal interrupts it; its result, or the errno.
template <typename Fn>
auto TrySyscall(Fn call) -> ErrnoOr<decltype(call())> {
  while (true) {
    const auto result = call();
    if (result != -1) return result;
    if (errno != EINTR) return LastErrno();
  }
}

namespace errno_internal {
inline Errno ErrorOf(Errno error) { return error; }
template <typename T>
Errno ErrorOf(const ErrnoOr<T>& result) {
  return result.error();
}
}  // namespace errno_internal

}  // namespace msb

// As MSB_RETURN_IF_ERROR and MSB_ASSIGN_OR_RETURN.
#define MSB_RETURN_IF_ERRNO(expr)                                            \
  do {                                                                       \
    if (const ::msb::Errno msb_errno = ::msb::errno_internal::ErrorOf(expr); \
        msb_errno != ::msb::Errno::kNone) {                                  \
      return msb_errno;                                                      \
    }                                                                        \
  } while (false)

#define MSB_ASSIGN_OR_ERRNO(lhs, expr) \
  MSB_ASSIGN_OR_ERRNO_NAMED(MSB_STATUS_CONCAT(msb_errno_or_, __LINE__), lhs, expr)

#define MSB_ASSIGN_OR_ERRNO_NAMED(result, lhs, expr) \
  auto result = (expr);                              \
  if (!result.ok()) return result.error();           \
  lhs = *std::move(result)

#endif  // MSB_FILE_SERVER_FUSE_ERRNO_OR_H_
