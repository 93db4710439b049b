// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/secrets/http_head.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace msb::net {
namespace {

constexpr size_t kMaxFields = 256;
constexpr size_t kMaxLengthDigits = 18;

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

// The line before the next CRLF, which goes too. Neither CR nor LF stands alone.
absl::StatusOr<absl::string_view> TakeLine(absl::string_view& text) {
  const size_t end = text.find('\n');
  if (end == absl::string_view::npos) return Wrong("a line without an end");
  if (end == 0 || text[end - 1] != '\r') return Wrong("a line that ends with LF alone");
  const absl::string_view line = text.substr(0, end - 1);
  text.remove_prefix(end + 1);
  // RFC 9110, 5.5: CR, LF and NUL in a value are dangerous; no control character has a use.
  if (std::any_of(line.begin(), line.end(), [](char c) { return IsControl(c) && c != '\t'; })) {
    return Wrong("a control character in the head");
  }
  return line;
}

absl::Status ParseRequestLine(absl::string_view line, RequestHead& head) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == absl::string_view::npos || first == last) return Wrong("no request line");
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  head.version = line.substr(last + 1);
  if (!IsToken(head.method)) return Wrong("no method");
  if (head.target.empty() || head.target.find_first_of(" \t") != absl::string_view::npos) {
    return Wrong("blanks in the request line");
  }
  if (head.version != "HTTP/1.1" && head.version != "HTTP/1.0") {
    return Wrong("a version other than HTTP/1.1 and HTTP/1.0");
  }
  return absl::OkStatus();
}

absl::StatusOr<HttpField> ParseField(absl::string_view line) {
  const size_t colon = line.find(':');
  // A blank before the colon, or at the line's beginning (obs-fold), fails here too.
  if (colon == absl::string_view::npos || !IsToken(line.substr(0, colon))) {
    return Wrong("a line that is no header field");
  }
  return HttpField{line.substr(0, colon), absl::StripAsciiWhitespace(line.substr(colon + 1))};
}

absl::Status TakeFraming(const HttpField& field, RequestHead& head) {
  if (absl::EqualsIgnoreCase(field.name, "content-length")) {
    uint64_t length = 0;
    if (head.content_length.has_value()) return Wrong("two Content-Lengths");
    if (field.value.empty() || field.value.size() > kMaxLengthDigits ||
        !std::all_of(field.value.begin(), field.value.end(), absl::ascii_isdigit) ||
        !absl::SimpleAtoi(field.value, &length)) {
      return Wrong("a Content-Length that is no number");
    }
    head.content_length = length;
  } else if (absl::EqualsIgnoreCase(field.name, "transfer-encoding")) {
    if (head.chunked) return Wrong("two Transfer-Encodings");
    if (!absl::EqualsIgnoreCase(field.value, "chunked")) {
      return Wrong("a Transfer-Encoding other than chunked");
    }
    head.chunked = true;
  }
  return absl::OkStatus();
}

// "host" and "host:port" of `authority`.
bool IsAuthority(absl::string_view authority, absl::string_view host, uint16_t port) {
  const size_t colon = authority.rfind(':');
  if (colon != absl::string_view::npos) {
    if (authority.substr(colon + 1) != absl::StrCat(port)) return false;
    authority = authority.substr(0, colon);
  }
  return absl::EqualsIgnoreCase(authority, host);
}

}  // namespace

bool IsToken(absl::string_view text) {
  constexpr absl::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           kOthers.find(c) != absl::string_view::npos;
  });
}

std::optional<absl::string_view> RequestHead::Find(absl::string_view name) const {
  for (const HttpField& field : fields) {
    if (absl::EqualsIgnoreCase(field.name, name)) return field.value;
  }
  return std::nullopt;
}

absl::StatusOr<RequestHead> ParseRequestHead(absl::string_view text) {
  RequestHead head;
  MSB_ASSIGN_OR_RETURN(const absl::string_view request_line, TakeLine(text));
  MSB_RETURN_IF_ERROR(ParseRequestLine(request_line, head));
  int hosts = 0;
  while (true) {
    MSB_ASSIGN_OR_RETURN(const absl::string_view line, TakeLine(text));
    if (line.empty()) break;
    MSB_ASSIGN_OR_RETURN(const HttpField field, ParseField(line));
    MSB_RETURN_IF_ERROR(TakeFraming(field, head));
    hosts += absl::EqualsIgnoreCase(field.name, "host") ? 1 : 0;
    if (head.fields.size() == kMaxFields) return Wrong("too many header fields");
    head.fields.push_back(field);
  }
  if (!text.empty()) return Wrong("more behind the head");
  if (hosts > 1) return Wrong("two Hosts");
  if (head.chunked && head.content_length.has_value()) {
    return Wrong("both Content-Length and Transfer-Encoding");
  }
  if (head.chunked && head.version == "HTTP/1.0") return Wrong("chunked in HTTP/1.0");
  return head;
}

bool IsForHost(const RequestHead& head, absl::string_view host, uint16_t port) {
  const std::optional<absl::string_view> named = head.Find("host");
  if (!named.has_value() || !IsAuthority(*named, host, port)) return false;
  absl::string_view target = head.target;
  if (target[0] == '/' || target == "*") return true;
  if (!absl::StartsWithIgnoreCase(target, "https://")) return false;
  target.remove_prefix(sizeof("https://") - 1);
  return IsAuthority(target.substr(0, target.find_first_of("/?#")), host, port);
}

}  // namespace msb::net
