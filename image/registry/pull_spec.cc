// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/pull_spec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb::image {
namespace {

constexpr size_t kMaxRepositoryBytes = 255;
constexpr size_t kMaxTagBytes = 128;

absl::Status Invalid(absl::string_view what, absl::string_view value) {
  return MakeError(Reason::kInvalidArgument,
                   absl::StrCat("\"", EscapeForLog(value.substr(0, 100)), "\" is no ", what));
}

bool IsLowerOrDigit(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

// distribution-spec, "Pulling manifests": what may stand in a path of the registry's. It begins and
// ends with a letter or digit, so that no component is ".." .
bool IsRepository(absl::string_view text) {
  if (text.empty() || text.size() > kMaxRepositoryBytes) return false;
  for (const absl::string_view part : absl::StrSplit(text, '/')) {
    if (part.empty() || !IsLowerOrDigit(part.front()) || !IsLowerOrDigit(part.back()) ||
        !std::all_of(part.begin(), part.end(), [](char c) {
          return IsLowerOrDigit(c) || c == '.' || c == '_' || c == '-';
        })) {
      return false;
    }
  }
  return true;
}

bool IsTag(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxTagBytes && text.front() != '.' &&
         text.front() != '-' && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

absl::StatusOr<std::unique_ptr<RegistryEndpoint>> MakeEndpoint(const v1::Endpoint& wire,
                                                               const v1::PullJob& job) {
  absl::StatusOr<Url> origin = UrlOfEndpoint(wire.host(), !wire.plain_http());
  if (!origin.ok()) return Invalid("host or host:port of a registry", wire.host());
  MSB_ASSIGN_OR_RETURN(TlsContext tls, TlsContext::Create({.verify = !wire.skip_tls_verification(),
                                                           .extra_ca_pem = wire.extra_ca_pem()}));
  Credentials credentials;
  if (wire.send_credentials()) {
    credentials = {.username = job.credentials().username(),
                   .password = job.credentials().password(),
                   .identity_token = job.credentials().identity_token()};
  }
  return std::unique_ptr<RegistryEndpoint>(new RegistryEndpoint{
      .origin = *std::move(origin),
      .repository = job.repository(),
      .tls = std::move(tls),
      .authenticator = Authenticator(std::move(credentials), job.repository())});
}

}  // namespace

absl::StatusOr<PullSpec> CheckPullJob(const v1::PullJob& job) {
  if (!IsRepository(job.repository())) return Invalid("repository", job.repository());
  PullSpec spec{
      .reference = job.reference(),
      .platform = {.os = job.os(), .architecture = job.architecture(), .variant = job.variant()}};
  if (!IsTag(spec.reference) && !Digest::Parse(spec.reference).ok()) {
    return Invalid("tag or sha256 digest", spec.reference);
  }
  if (spec.platform.os.empty() || spec.platform.architecture.empty()) {
    return Invalid("platform", ToString(spec.platform));
  }
  for (const std::string& text : job.present()) {
    MSB_ASSIGN_OR_RETURN(Digest digest, Digest::Parse(text));
    spec.present.insert(std::move(digest));
  }
  return spec;
}

absl::StatusOr<Endpoints> MakeEndpoints(const v1::PullJob& job) {
  Endpoints endpoints;
  for (const v1::Endpoint& wire : job.endpoints()) {
    MSB_ASSIGN_OR_RETURN(std::unique_ptr<RegistryEndpoint> endpoint, MakeEndpoint(wire, job));
    endpoints.push_back(std::move(endpoint));
  }
  return endpoints;
}

}  // namespace msb::image
