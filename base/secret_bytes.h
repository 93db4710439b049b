// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Bytes that must not outlive their use: in pages of their own, locked where the process may lock
// memory, left out of core dumps, and wiped when they go.

#ifndef MSB_BASE_SECRET_BYTES_H_
#define MSB_BASE_SECRET_BYTES_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace msb {

class SecretBytes {
 public:
  SecretBytes() = default;
  // Empty when the process cannot have the memory: never a copy in common memory instead.
  explicit SecretBytes(absl::string_view bytes);
  SecretBytes(SecretBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~SecretBytes();

  absl::string_view view() const { return {data_, size_}; }
  bool empty() const { return size_ == 0; }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
};

// Overwrites what `text` holds, in a way that no compiler leaves out, and empties it.
void Wipe(std::string& text);

}  // namespace msb

#endif  // MSB_BASE_SECRET_BYTES_H_
