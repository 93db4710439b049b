// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The bytes of a FUSE message (<linux/fuse.h>, protocol 7): taken apart with every length checked,
// and put together within the room that the guest's kernel gave.

#ifndef MSB_FILE_SERVER_FUSE_MESSAGE_H_
#define MSB_FILE_SERVER_FUSE_MESSAGE_H_

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "file-server/fuse/errno_or.h"

namespace msb {

// Data of one READ or WRITE.
inline constexpr uint32_t kMaxDataBytes = 1u << 20;
// Header, arguments and data of the longest message that is taken or sent.
inline constexpr size_t kMaxMessageBytes = kMaxDataBytes + 4096;
// NAME_MAX of Linux; a longer name cannot exist.
inline constexpr size_t kMaxNameBytes = 255;

// What is left of a request. Errors: EINVAL for a message that is cut, or a name that is none.
class RequestReader {
 public:
  explicit RequestReader(absl::Span<const uint8_t> bytes) : rest_(bytes) {}

  template <typename T>
  ErrnoOr<T> Take() {
    static_assert(std::is_trivially_copyable_v<T>);
    if (rest_.size() < sizeof(T)) return ErrnoValue(EINVAL);
    T value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return value;
  }

  // Up to the next NUL, which is taken too. Any bytes, PATH_MAX at most.
  ErrnoOr<std::string> TakeText();
  // The name of an entry of a directory: not empty, no "/", not "." or "..". ENAMETOOLONG.
  ErrnoOr<std::string> TakeName();
  ErrnoOr<absl::Span<const uint8_t>> TakeBytes(size_t size);
  absl::Span<const uint8_t> rest() const { return rest_; }

 private:
  absl::Span<const uint8_t> rest_;
};

// A reply's body; its header is kept free in front of it. Reused, never cleared.
class ReplyBuffer {
 public:
  ReplyBuffer() : bytes_(new uint8_t[sizeof(fuse_out_header) + kMaxMessageBytes]) {}

  void Clear() { size_ = in_place_ = 0; }
  size_t size() const { return size_; }
  size_t room() const { return kMaxMessageBytes - size_; }

  template <typename T>
  void Append(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    AppendBytes(&value, sizeof(value));
  }
  // Fits: every reply is bounded by what its operation may say.
  void AppendBytes(const void* bytes, size_t size);
  // Room for `size` bytes that a system call fills; Extend says how many it has.
  uint8_t* Tail() { return body() + size_; }
  void Extend(size_t size) { size_ += size; }

  // The body begins with `size` bytes that are in the guest's memory already; before all others.
  void ExtendInPlace(size_t size) { in_place_ = size; }
  size_t in_place() const { return in_place_; }

  // The whole message, its header written in front of the body; of an error, the header alone. What
  // is in place belongs between the two.
  absl::Span<const uint8_t> Finish(uint64_t unique, Errno error);

 private:
  uint8_t* body() { return bytes_.get() + sizeof(fuse_out_header); }

  std::unique_ptr<uint8_t[]> bytes_;
  size_t size_ = 0;
  size_t in_place_ = 0;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_FUSE_MESSAGE_H_
