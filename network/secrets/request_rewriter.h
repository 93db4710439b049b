// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The requests of one connection (HTTP/1, RFC 9112), in which placeholders become values:
// in the target, in the values of header fields (also inside of "Authorization: Basic"), and in
// bodies that are text. A machine without sockets: the guest's bytes go in, the host's come out.
//
// A request that another server could read in another way ends the connection; so does nothing
// else. A request for another host than the connection's (Host, or a whole URL) goes out as it is.

#ifndef MSB_NETWORK_SECRETS_REQUEST_REWRITER_H_
#define MSB_NETWORK_SECRETS_REQUEST_REWRITER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "network/secrets/http_head.h"
#include "network/secrets/limits.h"
#include "network/secrets/substitution.h"

namespace msb::net {

class RequestRewriter {
 public:
  static constexpr size_t kMaxChunkLineBytes = 256;
  static constexpr size_t kMaxTrailerBytes = 16 << 10;

  struct Handlers {
    // A value was put in the place of its placeholder. Once in a request.
    std::function<void(const Substitute&)> on_used;
    // How a value was written, each time.
    std::function<void(absl::string_view spelled)> on_spelled;
    // A placeholder goes out as it is. Once in a request for each of them.
    std::function<void(const Substitute&, absl::string_view why)> on_withheld;
  };

  // `host`: that the certificate of the connection was checked for. `substitutes` outlive the
  // object.
  RequestRewriter(std::string host, uint16_t port, const std::vector<Substitute>& substitutes,
                  const RequestLimits& limits, Handlers handlers);
  RequestRewriter(const RequestRewriter&) = delete;
  RequestRewriter& operator=(const RequestRewriter&) = delete;

  // Takes all of `bytes`, appends what the host is to get to `out`. kInvalidArgument: no request,
  // and why; the connection cannot go on.
  absl::Status Feed(absl::string_view bytes, std::string& out);

 private:
  enum class Told { kUsed, kWithheld };
  enum class State { kHead, kBody, kHeldBody, kChunkLine, kChunk, kChunkEnd, kTrailers, kRaw };

  // Each takes what it can from `rest`; false: it needs more.
  absl::StatusOr<bool> Step(absl::string_view& rest, std::string& out);
  absl::StatusOr<bool> TakeHead(absl::string_view& rest, std::string& out);
  bool TakeBody(absl::string_view& rest, std::string& out);
  bool TakeHeldBody(absl::string_view& rest, std::string& out);
  absl::StatusOr<bool> TakeChunkLine(absl::string_view& rest, std::string& out);
  bool TakeChunk(absl::string_view& rest, std::string& out);
  absl::StatusOr<bool> TakeChunkEnd(absl::string_view& rest);
  absl::StatusOr<bool> TakeTrailers(absl::string_view& rest);
  // A line with its CRLF, collected in line_; nullopt: it needs more.
  absl::StatusOr<std::optional<std::string>> TakeLine(absl::string_view& rest, size_t max);

  void BeginRequest(const RequestHead& head, std::string& out);
  void WriteField(const HttpField& field, std::string& out);
  // Nullopt: it is none.
  std::optional<std::string> RewriteBasic(absl::string_view value);
  std::string Rewrite(absl::string_view text, Spelling spelling);
  std::string Replace(const Substitute& found, Spelling spelling);
  // Returns the placeholder.
  std::string Withhold(const Substitute& found, absl::string_view why);

  const std::string host_;
  const uint16_t port_;
  const std::vector<Substitute>& substitutes_;
  const RequestLimits limits_;
  const Handlers handlers_;

  State state_ = State::kHead;
  bool for_host_ = false;                                         // this request is
  absl::flat_hash_set<std::pair<const Substitute*, Told>> told_;  // of this request
  size_t value_bytes_ = 0;  // may still be put into this request
  std::string head_;
  std::string line_;
  std::string body_;        // held
  uint64_t remaining_ = 0;  // of the body, or of the chunk
  uint64_t trailer_bytes_ = 0;
  std::optional<Spelling> body_spelling_;
  std::optional<Substitution> stream_;  // of a chunked body
};

}  // namespace msb::net

#endif  // MSB_NETWORK_SECRETS_REQUEST_REWRITER_H_
