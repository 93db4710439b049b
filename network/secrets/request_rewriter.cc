// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/secrets/request_rewriter.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"

namespace msb::net {
namespace {

constexpr char kEndOfHead[] = "\r\n\r\n";
constexpr size_t kEndOfHeadBytes = sizeof(kEndOfHead) - 1;
constexpr size_t kMaxChunkDigits = 15;

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

// Fields that speak of the connection or of the message itself: no place for a secret.
bool IsPlumbing(absl::string_view name) {
  constexpr absl::string_view kNames[] = {
      "host", "content-length", "transfer-encoding", "connection",       "upgrade",   "expect",
      "te",   "trailer",        "content-type",      "content-encoding", "keep-alive"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](absl::string_view known) { return absl::EqualsIgnoreCase(known, name); });
}

// How a value is written in a body of this type; nullopt: it is no text that a value belongs in.
std::optional<Spelling> SpellingOfBody(const RequestHead& head) {
  if (head.Find("content-encoding").has_value()) return std::nullopt;
  const absl::string_view field = head.Find("content-type").value_or("");
  const std::string type =
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(field.substr(0, field.find(';'))));
  if (type == "application/x-www-form-urlencoded") return Spelling::kPercent;
  if (type == "application/json" || absl::EndsWith(type, "+json") ||
      type == "application/x-ndjson") {
    return Spelling::kJson;
  }
  if (absl::StartsWith(type, "text/") || type == "application/xml" ||
      absl::EndsWith(type, "+xml") || type == "application/graphql") {
    return Spelling::kPlain;
  }
  return std::nullopt;
}

void AppendChunk(absl::string_view data, std::string& out) {
  if (data.empty()) return;  // it would end the body
  absl::StrAppendFormat(&out, "%x\r\n", data.size());
  absl::StrAppend(&out, data, "\r\n");
}

}  // namespace

RequestRewriter::RequestRewriter(std::string host, uint16_t port,
                                 const std::vector<Substitute>& substitutes,
                                 const RequestLimits& limits, Handlers handlers)
    : host_(std::move(host)),
      port_(port),
      substitutes_(substitutes),
      limits_(limits),
      handlers_(std::move(handlers)) {}

absl::Status RequestRewriter::Feed(absl::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    MSB_ASSIGN_OR_RETURN(const bool went_on, Step(bytes, out));
    if (!went_on) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> RequestRewriter::Step(absl::string_view& rest, std::string& out) {
  switch (state_) {
    case State::kHead:
      return TakeHead(rest, out);
    case State::kBody:
      return TakeBody(rest, out);
    case State::kHeldBody:
      return TakeHeldBody(rest, out);
    case State::kChunkLine:
      return TakeChunkLine(rest, out);
    case State::kChunk:
      return TakeChunk(rest, out);
    case State::kChunkEnd:
      return TakeChunkEnd(rest);
    case State::kTrailers:
      return TakeTrailers(rest);
    case State::kRaw:
      out.append(rest.data(), rest.size());
      rest = {};
      return true;
  }
  return false;
}

// --- head ---

absl::StatusOr<bool> RequestRewriter::TakeHead(absl::string_view& rest, std::string& out) {
  // RFC 9112, 2.2: an empty line before a request is no part of it.
  while (head_.empty() && absl::ConsumePrefix(&rest, "\r\n")) {
  }
  const size_t scanned = head_.size() < kEndOfHeadBytes ? 0 : head_.size() - kEndOfHeadBytes;
  head_.append(rest.data(), rest.size());
  if (absl::StartsWith(head_, "\r\n")) head_.erase(0, 2);  // one that came in two pieces
  const size_t end = head_.find(kEndOfHead, scanned > 2 ? scanned - 2 : 0);
  const size_t size = end == std::string::npos ? head_.size() : end + kEndOfHeadBytes;
  if (size > limits_.max_head_bytes) {
    return Wrong(absl::StrCat("a head of more than ", limits_.max_head_bytes,
                              " bytes ([secrets] max_head_kib)"));
  }
  if (end == std::string::npos) {
    // Waiting for CRLF CRLF while another reader saw the end of the head: not with us.
    if (head_.find("\n\n") != std::string::npos) return Wrong("a line that ends with LF alone");
    rest = {};
    return false;
  }
  rest.remove_prefix(rest.size() - (head_.size() - size));
  head_.resize(size);
  const std::string text = std::exchange(head_, "");
  MSB_ASSIGN_OR_RETURN(const RequestHead head, ParseRequestHead(text));
  BeginRequest(head, out);
  return true;
}

void RequestRewriter::BeginRequest(const RequestHead& head, std::string& out) {
  for_host_ = IsForHost(head, host_, port_);
  told_.clear();
  value_bytes_ = limits_.max_value_bytes;
  const bool connect = head.method == "CONNECT";
  body_spelling_ = SpellingOfBody(head);
  remaining_ = head.content_length.value_or(0);
  // The client sends its body only once the host has said so: the head cannot wait for it.
  const bool hold = body_spelling_.has_value() && remaining_ > 0 &&
                    remaining_ <= limits_.max_body_bytes && !head.Find("expect").has_value();

  absl::StrAppend(&out, head.method, " ",
                  connect ? std::string(head.target) : Rewrite(head.target, Spelling::kPercent),
                  " ", head.version, "\r\n");
  for (const HttpField& field : head.fields) {
    if (hold && absl::EqualsIgnoreCase(field.name, "content-length")) continue;
    WriteField(field, out);
  }
  if (!hold) out += "\r\n";  // else behind the length

  if (connect || head.Find("upgrade").has_value()) {
    // Whatever the host answers, what follows is another protocol, or goes out as it is.
    state_ = State::kRaw;
    if (hold) {
      absl::StrAppend(&out, "Content-Length: ", remaining_, "\r\n\r\n");
    }
  } else if (head.chunked) {
    state_ = State::kChunkLine;
    if (body_spelling_.has_value()) {
      stream_.emplace(substitutes_, [this, spelling = *body_spelling_](const Substitute& found) {
        return Replace(found, spelling);
      });
    }
  } else if (hold) {
    state_ = State::kHeldBody;
  } else {
    state_ = remaining_ > 0 ? State::kBody : State::kHead;
  }
}

void RequestRewriter::WriteField(const HttpField& field, std::string& out) {
  absl::StrAppend(&out, field.name, ": ");
  if (IsPlumbing(field.name)) {
    absl::StrAppend(&out, field.value, "\r\n");
    return;
  }
  std::optional<std::string> basic;
  if (absl::EqualsIgnoreCase(field.name, "authorization")) basic = RewriteBasic(field.value);
  absl::StrAppend(&out, basic.has_value() ? *basic : Rewrite(field.value, Spelling::kPlain),
                  "\r\n");
}

// RFC 7617: user and password, base64.
std::optional<std::string> RequestRewriter::RewriteBasic(absl::string_view value) {
  const size_t blank = value.find(' ');
  if (!absl::EqualsIgnoreCase(value.substr(0, blank), "basic") ||
      blank == absl::string_view::npos) {
    return std::nullopt;
  }
  std::string plain;
  if (!absl::Base64Unescape(absl::StripAsciiWhitespace(value.substr(blank)), &plain)) {
    return std::nullopt;
  }
  std::string rewritten = Rewrite(plain, Spelling::kPlain);
  if (rewritten == plain) return std::string(value);
  const std::string encoded = absl::Base64Escape(rewritten);
  Wipe(rewritten);
  handlers_.on_spelled(encoded);
  return absl::StrCat(value.substr(0, blank), " ", encoded);
}

std::string RequestRewriter::Rewrite(absl::string_view text, Spelling spelling) {
  std::string out;
  Substitution substitution(substitutes_,
                            [&](const Substitute& found) { return Replace(found, spelling); });
  substitution.Feed(text, out);
  substitution.Finish(out);
  return out;
}

std::string RequestRewriter::Replace(const Substitute& found, Spelling spelling) {
  if (!found.allowed) return Withhold(found, absl::StrCat("it may not go to ", host_));
  if (!for_host_) {
    return Withhold(found, absl::StrCat("the request is for another host than ", host_));
  }
  std::string spelled = found.value.size() <= value_bytes_ ? Spell(found.value, spelling) : "";
  if (spelled.empty() || spelled.size() > value_bytes_) {
    Wipe(spelled);
    value_bytes_ = 0;  // nor may a shorter one that comes behind
    return Withhold(found, absl::StrCat("a request has room for ", limits_.max_value_bytes,
                                        " bytes of values ([secrets] max_values_kib)"));
  }
  value_bytes_ -= spelled.size();
  if (told_.emplace(&found, Told::kUsed).second) handlers_.on_used(found);
  handlers_.on_spelled(spelled);
  return spelled;
}

std::string RequestRewriter::Withhold(const Substitute& found, absl::string_view why) {
  if (told_.emplace(&found, Told::kWithheld).second) handlers_.on_withheld(found, why);
  return found.placeholder;
}

// --- body ---

bool RequestRewriter::TakeBody(absl::string_view& rest, std::string& out) {
  const auto take = static_cast<size_t>(std::min<uint64_t>(remaining_, rest.size()));
  out.append(rest.data(), take);
  rest.remove_prefix(take);
  remaining_ -= take;
  if (remaining_ == 0) state_ = State::kHead;
  return true;
}

bool RequestRewriter::TakeHeldBody(absl::string_view& rest, std::string& out) {
  const auto take = static_cast<size_t>(std::min<uint64_t>(remaining_, rest.size()));
  body_.append(rest.data(), take);
  rest.remove_prefix(take);
  remaining_ -= take;
  if (remaining_ > 0) return false;
  std::string rewritten = Rewrite(body_, *body_spelling_);
  absl::StrAppend(&out, "Content-Length: ", rewritten.size(), "\r\n\r\n", rewritten);
  Wipe(rewritten);
  body_.clear();
  state_ = State::kHead;
  return true;
}

absl::StatusOr<std::optional<std::string>> RequestRewriter::TakeLine(absl::string_view& rest,
                                                                     size_t max) {
  const size_t end = rest.find('\n');
  const size_t take = end == absl::string_view::npos ? rest.size() : end + 1;
  line_.append(rest.data(), take);
  rest.remove_prefix(take);
  if (line_.size() > max) return Wrong("a line of a chunked body that is too long");
  if (end == absl::string_view::npos) return std::nullopt;
  std::string line = std::exchange(line_, "");
  if (!absl::EndsWith(line, "\r\n") || line.find('\r') != line.size() - 2) {
    return Wrong("a line of a chunked body that does not end with CRLF");
  }
  line.resize(line.size() - 2);
  return line;
}

// Chunk extensions have no meaning that anybody uses, and are left out.
absl::StatusOr<bool> RequestRewriter::TakeChunkLine(absl::string_view& rest, std::string& out) {
  MSB_ASSIGN_OR_RETURN(const std::optional<std::string> line, TakeLine(rest, kMaxChunkLineBytes));
  if (!line.has_value()) return false;
  const absl::string_view digits = absl::string_view(*line).substr(0, line->find(';'));
  if (digits.empty() || digits.size() > kMaxChunkDigits ||
      !std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit) ||
      !absl::SimpleHexAtoi(digits, &remaining_)) {
    return Wrong("a chunk's size that is no number");
  }
  if (remaining_ > 0) {
    state_ = State::kChunk;
    return true;
  }
  if (stream_.has_value()) {
    std::string last;
    stream_->Finish(last);
    AppendChunk(last, out);
    stream_.reset();
  }
  out += "0\r\n\r\n";  // trailers are not passed on (RFC 9110, 6.5.1 lets us)
  trailer_bytes_ = 0;
  state_ = State::kTrailers;
  return true;
}

bool RequestRewriter::TakeChunk(absl::string_view& rest, std::string& out) {
  const auto take = static_cast<size_t>(std::min<uint64_t>(remaining_, rest.size()));
  const absl::string_view data = rest.substr(0, take);
  rest.remove_prefix(take);
  remaining_ -= take;
  if (stream_.has_value()) {
    std::string rewritten;
    stream_->Feed(data, rewritten);
    AppendChunk(rewritten, out);
    Wipe(rewritten);
  } else {
    AppendChunk(data, out);
  }
  if (remaining_ == 0) state_ = State::kChunkEnd;
  return true;
}

absl::StatusOr<bool> RequestRewriter::TakeChunkEnd(absl::string_view& rest) {
  MSB_ASSIGN_OR_RETURN(const std::optional<std::string> line, TakeLine(rest, 2));
  if (!line.has_value()) return false;
  if (!line->empty()) return Wrong("a chunk that is longer than its size");
  state_ = State::kChunkLine;
  return true;
}

absl::StatusOr<bool> RequestRewriter::TakeTrailers(absl::string_view& rest) {
  MSB_ASSIGN_OR_RETURN(const std::optional<std::string> line,
                       TakeLine(rest, kMaxTrailerBytes - trailer_bytes_));
  if (!line.has_value()) return false;
  trailer_bytes_ += line->size() + 2;
  if (line->empty()) state_ = State::kHead;
  return true;
}

}  // namespace msb::net
