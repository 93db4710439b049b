// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/http_client.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "image/registry/retry.h"

namespace msb::image {
namespace {

constexpr int kMaxRedirects = 5;
constexpr int kMaxInformational = 5;  // 1xx in front of an answer
constexpr size_t kMaxIdle = 4;
constexpr size_t kBufferBytes = 256 * 1024;
constexpr size_t kMaxErrorBody = 16 * 1024;
constexpr size_t kProgressBytes = 4096;
static_assert(kBufferBytes > kMaxHeadBytes);

bool IsSuccess(const ResponseHead& head) { return head.status / 100 == 2; }

bool IsRedirect(const ResponseHead& head) {
  return head.status == 301 || head.status == 302 || head.status == 303 || head.status == 307 ||
         head.status == 308;
}

std::string Serialize(const HttpRequest& request) {
  std::string text = absl::StrCat(
      request.method, " ", request.url.target, " HTTP/1.1\r\nHost: ", request.url.Authority(),
      "\r\nUser-Agent: msb-image/", Version(), "\r\nAccept-Encoding: identity\r\n");
  for (const auto& [name, value] : request.fields)
    absl::StrAppend(&text, name, ": ", value, "\r\n");
  if (!request.authorization.empty()) {
    absl::StrAppend(&text, "Authorization: ", request.authorization, "\r\n");
  }
  if (request.method != "GET") {
    absl::StrAppend(&text, "Content-Length: ", request.body.size(), "\r\n");
  }
  absl::StrAppend(&text, "\r\n", request.body);
  return text;
}

absl::StatusOr<Url> RedirectTarget(const HttpAnswer& answer) {
  MSB_ASSIGN_OR_RETURN(Url target, ResolveReference(answer.url, answer.head.Get("location")));
  if (answer.url.tls && !target.tls) {
    return MakeError(Reason::kImagePullFailed,
                     absl::StrCat(answer.url.Authority(), " redirects to plain HTTP at ",
                                  target.Authority(), ": refused"));
  }
  return target;
}

}  // namespace

absl::StatusOr<HttpAnswer> HttpClient::Fetch(const HttpRequest& request, const BodySink& sink) {
  HttpRequest next = request;
  for (int redirects = 0; redirects <= kMaxRedirects; ++redirects) {
    MSB_ASSIGN_OR_RETURN(HttpAnswer answer, FetchOnce(next, sink));
    if (!IsRedirect(answer.head) || answer.head.Get("location").empty()) return answer;
    MSB_ASSIGN_OR_RETURN(Url target, RedirectTarget(answer));
    if (answer.head.status != 307 && answer.head.status != 308) {
      next.method = "GET";
      next.body.clear();
    }
    if (!IsSameOrigin(target, next.url)) {
      // A token is for whom it was made for: another host would get it into its hands.
      next.authorization.clear();
      if (!next.body.empty()) {
        return MakeError(Reason::kImagePullFailed,
                         absl::StrCat(next.url.Authority(), " would have a token sent on to ",
                                      target.Authority(), ": refused"));
      }
    }
    next.url = std::move(target);
  }
  return MakeError(
      Reason::kImagePullFailed,
      absl::StrCat(request.url.Authority(), " redirects more than ", kMaxRedirects, " times"));
}

absl::StatusOr<HttpClient::Document> HttpClient::FetchDocument(const HttpRequest& request,
                                                               uint64_t max_bytes,
                                                               absl::string_view what) {
  std::string body;
  const absl::Status too_large =
      MakeError(Reason::kImageTooLarge,
                absl::StrCat(what, " has more than ", max_bytes, " bytes, which are allowed"));
  MSB_ASSIGN_OR_RETURN(HttpAnswer answer,
                       Fetch(request, [&](const ResponseHead& head, absl::string_view piece) {
                         if (head.content_length.value_or(0) > max_bytes) return too_large;
                         if (piece.size() > max_bytes - body.size()) return too_large;
                         body.append(piece.data(), piece.size());
                         return absl::OkStatus();
                       }));
  return Document{std::move(answer), std::move(body)};
}

absl::StatusOr<HttpAnswer> HttpClient::FetchOnce(const HttpRequest& request, const BodySink& sink) {
  std::unique_ptr<Connection> connection = TakeIdle(request.url);
  const bool reused = connection != nullptr;
  if (!reused) {
    MSB_ASSIGN_OR_RETURN(connection, Connect(request.url));
  }
  absl::StatusOr<Exchanged> result = Exchange(*connection, request, sink);
  if (reused && !answer_began_ && IsTransient(result.status())) {
    // A server may close an idle connection just as it is used: that is no failure.
    MSB_ASSIGN_OR_RETURN(connection, Connect(request.url));
    result = Exchange(*connection, request, sink);
  }
  MSB_RETURN_IF_ERROR(result.status());
  if (result->reusable && idle_.size() < kMaxIdle) idle_.push_back(std::move(connection));
  return std::move(result->answer);
}

absl::StatusOr<HttpClient::Exchanged> HttpClient::Exchange(Connection& connection,
                                                           const HttpRequest& request,
                                                           const BodySink& sink) {
  buffer_.resize(kBufferBytes);
  buffered_ = 0;
  answer_began_ = false;
  MSB_RETURN_IF_ERROR(connection.Write(Serialize(request), absl::Now() + timeouts_.stall));
  Exchanged result{.answer = {.url = request.url}};
  for (int answers = 0; answers <= kMaxInformational; ++answers) {
    ResponseParser parser([&](const ResponseHead& head, absl::string_view piece) {
      if (IsSuccess(head)) return sink(head, piece);
      std::string& body = result.answer.error_body;
      absl::StrAppend(&body, piece.substr(0, kMaxErrorBody - body.size()));
      return body.size() < kMaxErrorBody ? absl::OkStatus() : absl::OutOfRangeError("enough");
    });
    const absl::Status read = ReadAnswer(connection, parser);
    result.answer.head = parser.head();
    if (absl::IsOutOfRange(read) && !IsSuccess(parser.head())) return result;
    MSB_RETURN_IF_ERROR(read);
    if (parser.head().status / 100 != 1) {
      result.reusable = parser.keeps_alive() && buffered_ == 0;
      return result;
    }
  }
  return MakeError(Reason::kImagePullFailed,
                   absl::StrCat(request.url.Authority(), " announces an answer without end"));
}

absl::Status HttpClient::ReadAnswer(Connection& connection, ResponseParser& parser) {
  absl::Time deadline = absl::Now() + timeouts_.stall;
  size_t since_deadline = 0;
  while (true) {
    if (buffered_ > 0) {
      MSB_ASSIGN_OR_RETURN(const size_t used,
                           parser.Put(absl::string_view(buffer_.data(), buffered_)));
      buffered_ -= used;
      std::memmove(buffer_.data(), buffer_.data() + used, buffered_);
    }
    if (parser.is_done()) return absl::OkStatus();
    if (buffered_ == buffer_.size()) {
      return MakeError(Reason::kImagePullFailed,
                       absl::StrCat(connection.url().Authority(), " sends a line without end"));
    }
    MSB_ASSIGN_OR_RETURN(const size_t count,
                         connection.Read(absl::MakeSpan(buffer_).subspan(buffered_), deadline));
    if (count == 0) return parser.PutEnd();
    answer_began_ = true;
    buffered_ += count;
    since_deadline += count;
    if (since_deadline >= kProgressBytes) {
      since_deadline = 0;
      deadline = absl::Now() + timeouts_.stall;
    }
  }
}

absl::StatusOr<std::unique_ptr<Connection>> HttpClient::Connect(const Url& url) {
  const bool chosen = IsSameOrigin(url, endpoint_);
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                       Connection::Open(url, chosen ? Reach::kLoopback : endpoint_reach_,
                                        timeouts_.connect, tls_, cancellation_));
  if (chosen) endpoint_reach_ = connection->reach();
  return connection;
}

std::unique_ptr<Connection> HttpClient::TakeIdle(const Url& url) {
  const auto found = std::find_if(idle_.begin(), idle_.end(), [&](const auto& connection) {
    return IsSameOrigin(connection->url(), url);
  });
  if (found == idle_.end()) return nullptr;
  std::unique_ptr<Connection> connection = std::move(*found);
  idle_.erase(found);
  return connection;
}

}  // namespace msb::image
