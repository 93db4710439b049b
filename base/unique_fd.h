// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Owns a file descriptor.

#ifndef MSB_BASE_UNIQUE_FD_H_
#define MSB_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace msb {

class [[nodiscard]] UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    UniqueFd old(std::exchange(fd_, other.Release()));  // closes what we held, survives self-move
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() {
    if (fd_ >= 0) ::close(fd_);  // never retried: Linux frees the slot even on EINTR
  }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }
  void Reset() { UniqueFd closing(Release()); }

 private:
  int fd_ = -1;
};

}  // namespace msb

#endif  // MSB_BASE_UNIQUE_FD_H_
