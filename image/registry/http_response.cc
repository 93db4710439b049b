// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/http_response.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/registry/retry.h"

// Beast reports by error codes; what it throws for beside them is misuse.
namespace boost {
void throw_exception(const std::exception&) { MSB_CHECK(false); }
void throw_exception(const std::exception&, const boost::source_location&) { MSB_CHECK(false); }
}  // namespace boost

namespace msb::image {
namespace {

namespace http = boost::beast::http;
using BeastString = boost::beast::string_view;
using ErrorCode = boost::beast::error_code;

constexpr size_t kMaxFields = 200;

absl::Status BadResponse(absl::string_view what) {
  return Transient(
      MakeError(Reason::kImagePullFailed, absl::StrCat("the server's answer is no HTTP: ", what)));
}

std::string ToString(BeastString text) { return std::string(text.data(), text.size()); }

}  // namespace

absl::string_view ResponseHead::Get(absl::string_view name) const {
  for (const auto& [field, value] : fields) {
    if (field == name) return value;
  }
  return "";
}

std::vector<absl::string_view> ResponseHead::GetAll(absl::string_view name) const {
  std::vector<absl::string_view> values;
  for (const auto& [field, value] : fields) {
    if (field == name) values.push_back(value);
  }
  return values;
}

class ResponseParser::Beast final : public http::basic_parser</*isRequest=*/false> {
 public:
  explicit Beast(BodySink sink) : sink_(std::move(sink)) {
    header_limit(kMaxHeadBytes);
    body_limit(std::numeric_limits<uint64_t>::max());  // the sink counts
    eager(true);
  }

  ResponseHead head;
  absl::Status sink_status;

 private:
  // Beast's own error stands for ours, which is in sink_status.
  size_t Give(absl::string_view piece, ErrorCode& error) {
    sink_status = sink_(head, piece);
    if (!sink_status.ok()) error = http::error::end_of_stream;
    return piece.size();
  }

  void on_request_impl(http::verb, BeastString, BeastString, int, ErrorCode&) override {}
  void on_response_impl(int code, BeastString, int, ErrorCode&) override { head.status = code; }
  void on_field_impl(http::field, BeastString name, BeastString value, ErrorCode& error) override {
    if (head.fields.size() == kMaxFields) {
      error = http::error::header_limit;
      return;
    }
    head.fields.emplace_back(absl::AsciiStrToLower(ToString(name)), ToString(value));
  }
  void on_header_impl(ErrorCode& error) override {
    if (const boost::optional<uint64_t> length = content_length(); length.has_value()) {
      head.content_length = *length;
    }
    Give("", error);
  }
  void on_body_init_impl(const boost::optional<uint64_t>&, ErrorCode&) override {}
  size_t on_body_impl(BeastString body, ErrorCode& error) override {
    return Give(absl::string_view(body.data(), body.size()), error);
  }
  void on_chunk_header_impl(uint64_t, BeastString, ErrorCode&) override {}
  size_t on_chunk_body_impl(uint64_t, BeastString body, ErrorCode& error) override {
    return Give(absl::string_view(body.data(), body.size()), error);
  }
  void on_finish_impl(ErrorCode&) override {}

  const BodySink sink_;
};

ResponseParser::ResponseParser(BodySink sink) : beast_(std::make_unique<Beast>(std::move(sink))) {}
ResponseParser::~ResponseParser() = default;

absl::StatusOr<size_t> ResponseParser::Put(absl::string_view bytes) {
  ErrorCode error;
  const size_t used = beast_->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  MSB_RETURN_IF_ERROR(beast_->sink_status);
  if (error && error != http::error::need_more) return BadResponse(error.message());
  return used;
}

absl::Status ResponseParser::PutEnd() {
  const absl::Status broken = Transient(
      MakeError(Reason::kImagePullFailed, "the server closed the connection in mid-answer"));
  if (!beast_->got_some()) return broken;
  ErrorCode error;
  beast_->put_eof(error);
  return error || !beast_->is_done() ? broken : absl::OkStatus();
}

bool ResponseParser::is_done() const { return beast_->is_done(); }
bool ResponseParser::keeps_alive() const { return beast_->is_done() && beast_->keep_alive(); }
const ResponseHead& ResponseParser::head() const { return beast_->head; }

}  // namespace msb::image
