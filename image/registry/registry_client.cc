// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/registry_client.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/manifest/json.h"
#include "image/manifest/manifest.h"
#include "image/registry/retry.h"

namespace msb::image {
namespace {

constexpr size_t kMaxShownMessage = 200;
// A first one without authorization, one with, and one more when a token has just run out.
constexpr int kMaxAuthorizations = 3;

const HttpAnswer& AnswerOf(const HttpClient::Document& document) { return document.answer; }
const HttpAnswer& AnswerOf(const HttpAnswer& answer) { return answer; }

// A registry's own words (distribution-spec, "Error Codes"), as far as they can be shown.
std::string MessageOf(const HttpAnswer& answer) {
  const auto json = ParseJsonObject(answer.error_body, "the error");
  if (!json.ok()) return "";
  const Json* errors = ListMember(*json, "errors");
  if (errors == nullptr || errors->Empty()) return "";
  const std::string code = StringMember((*errors)[0], "code");
  const std::string message = StringMember((*errors)[0], "message");
  return absl::StrCat(" (", EscapeForLog(code.substr(0, kMaxShownMessage)), ": ",
                      EscapeForLog(message.substr(0, kMaxShownMessage)), ")");
}

// Retry-After (RFC 9110, 10.2.3): seconds or a date.
std::optional<absl::Duration> RetryAfter(const ResponseHead& head) {
  const absl::string_view value = head.Get("retry-after");
  uint32_t seconds = 0;
  if (absl::SimpleAtoi(value, &seconds)) return absl::Seconds(seconds);
  absl::Time date;
  if (absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", value, &date, nullptr)) {
    return std::max(date - absl::Now(), absl::ZeroDuration());
  }
  return std::nullopt;
}

absl::Status Overloaded(const HttpAnswer& answer, absl::string_view what) {
  const std::optional<absl::Duration> delay = RetryAfter(answer.head);
  const std::string when =
      delay.has_value() ? absl::StrCat("; it asks to come back in ", absl::FormatDuration(*delay))
                        : "";
  absl::Status status = MakeError(
      Reason::kImagePullFailed,
      answer.head.status == 429
          ? absl::StrCat(answer.url.Authority(), " limits how much may be pulled (HTTP status 429)",
                         MessageOf(answer), when, "; an account often may pull more")
          : absl::StrCat(answer.url.Authority(), " fails with HTTP status ", answer.head.status,
                         " for ", what, MessageOf(answer), when));
  return delay.has_value() ? TransientAfter(std::move(status), *delay)
                           : Transient(std::move(status));
}

std::string AcceptedTypes() {
  return absl::StrJoin({media_type::kOciIndex, media_type::kDockerList, media_type::kOciManifest,
                        media_type::kDockerManifest},
                       ", ");
}

// "a/b; charset=utf-8" without what stands behind.
std::string MediaTypeOf(const ResponseHead& head) {
  const absl::string_view value = head.Get("content-type");
  return absl::AsciiStrToLower(absl::StripAsciiWhitespace(value.substr(0, value.find(';'))));
}

}  // namespace

absl::Status StatusOfAnswer(const HttpAnswer& answer, absl::string_view what) {
  const int status = answer.head.status;
  const std::string server = answer.url.Authority();
  if (status / 100 == 2) return absl::OkStatus();
  if (status == 404) {
    return MakeError(Reason::kImageNotFound,
                     absl::StrCat(server, " has no ", what, MessageOf(answer)));
  }
  if (status == 401 || status == 403) {
    return MakeError(Reason::kImageAccessDenied,
                     absl::StrCat(server, " gives no access to ", what, MessageOf(answer),
                                  ": log in with an account that may pull it"));
  }
  if (status == 408 || status == 429 || status >= 500) return Overloaded(answer, what);
  return MakeError(
      Reason::kImagePullFailed,
      absl::StrCat(server, " answers with HTTP status ", status, " for ", what, MessageOf(answer)));
}

RegistryClient::RegistryClient(RegistryEndpoint& endpoint, const Limits& limits,
                               const Cancellation& cancellation)
    : endpoint_(endpoint),
      limits_(limits),
      http_(endpoint.origin, endpoint.tls,
            {.connect = limits.connect_timeout, .stall = limits.stall_timeout}, cancellation) {}

template <typename Attempt>
auto RegistryClient::Authorized(HttpRequest& request, Attempt attempt)
    -> decltype(attempt(request)) {
  for (int attempts = 1;; ++attempts) {
    request.authorization = endpoint_.authenticator.Authorization();
    auto result = attempt(request);
    if (!result.ok()) return result;
    const HttpAnswer& answer = AnswerOf(*result);
    // Whom the registry redirects to is not asked where our credentials should go.
    const bool is_own = IsSameOrigin(answer.url, endpoint_.origin);
    if (answer.head.status != 401 || !is_own || attempts == kMaxAuthorizations) return result;
    MSB_RETURN_IF_ERROR(endpoint_.authenticator.Answer(answer.head, request.authorization, http_));
  }
}

absl::StatusOr<FetchedManifest> RegistryClient::FetchManifest(const std::string& reference) {
  HttpRequest request{.url = endpoint_.origin};
  request.url.target = absl::StrCat("/v2/", endpoint_.repository, "/manifests/", reference);
  request.fields.emplace_back("Accept", AcceptedTypes());
  const std::string what =
      absl::StrCat("image ", endpoint_.repository,
                   reference.find(':') == std::string::npos ? ":" : "@", reference);
  MSB_ASSIGN_OR_RETURN(
      HttpClient::Document document, Authorized(request, [&](const HttpRequest& authorized) {
        return http_.FetchDocument(authorized, limits_.max_manifest_bytes, "the manifest");
      }));
  MSB_RETURN_IF_ERROR(StatusOfAnswer(document.answer, what));
  FetchedManifest manifest{.bytes = std::move(document.body),
                           .media_type = MediaTypeOf(document.answer.head),
                           .digest = Sha256::Of("")};
  manifest.digest = Sha256::Of(manifest.bytes);
  const absl::string_view announced = reference.find(':') != std::string::npos
                                          ? absl::string_view(reference)
                                          : document.answer.head.Get("docker-content-digest");
  if (absl::StartsWith(announced, "sha256:") && announced != manifest.digest.text()) {
    return MakeError(
        Reason::kImageDigestMismatch,
        absl::StrCat(name(), " sends a manifest with the digest ", manifest.digest.text(), " for ",
                     EscapeForLog(announced.substr(0, kMaxShownMessage))));
  }
  return manifest;
}

absl::Status RegistryClient::FetchBlob(const Digest& digest, uint64_t offset,
                                       const HttpClient::BodySink& sink) {
  HttpRequest request{.url = endpoint_.origin};
  request.url.target = absl::StrCat("/v2/", endpoint_.repository, "/blobs/", digest.text());
  if (offset > 0) request.fields.emplace_back("Range", absl::StrCat("bytes=", offset, "-"));
  MSB_ASSIGN_OR_RETURN(const HttpAnswer answer,
                       Authorized(request, [&](const HttpRequest& authorized) {
                         return http_.Fetch(authorized, sink);
                       }));
  if (answer.head.status == 416) return absl::OutOfRangeError("nothing at this offset");
  return StatusOfAnswer(answer, absl::StrCat("blob ", digest.text(), " of ", endpoint_.repository));
}

}  // namespace msb::image
