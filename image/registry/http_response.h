// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Takes HTTP/1.1 responses apart (RFC 9112), by Boost.Beast's incremental parser, with bounds of
// our own.

#ifndef MSB_IMAGE_REGISTRY_HTTP_RESPONSE_H_
#define MSB_IMAGE_REGISTRY_HTTP_RESPONSE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace msb::image {

inline constexpr size_t kMaxHeadBytes = 64 * 1024;

struct ResponseHead {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case
  std::optional<uint64_t> content_length;

  // The first field of this name (in lower case), or empty.
  absl::string_view Get(absl::string_view name) const;
  std::vector<absl::string_view> GetAll(absl::string_view name) const;
};

class ResponseParser {
 public:
  // Gets the body as it comes, without its transfer coding, and once an empty piece when the head
  // is there. An error of it becomes that of Put.
  using BodySink = std::function<absl::Status(const ResponseHead& head, absl::string_view piece)>;

  explicit ResponseParser(BodySink sink);
  ~ResponseParser();
  ResponseParser(const ResponseParser&) = delete;
  ResponseParser& operator=(const ResponseParser&) = delete;

  // How many of `bytes` were used; the others are to come again, with more behind them. Used bytes
  // end with the response.
  absl::StatusOr<size_t> Put(absl::string_view bytes);
  // The stream has ended. An error, transient, when the response has not.
  absl::Status PutEnd();

  bool is_done() const;
  // Whether another response can follow on the connection.
  bool keeps_alive() const;
  const ResponseHead& head() const;

 private:
  class Beast;
  std::unique_ptr<Beast> beast_;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_HTTP_RESPONSE_H_
