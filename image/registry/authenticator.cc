// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/authenticator.h"

#include <algorithm>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/manifest/json.h"
#include "image/registry/retry.h"

namespace msb::image {
namespace {

constexpr uint64_t kMaxTokenBytes = 256 * 1024;
constexpr size_t kMaxScopes = 8;
constexpr char kClientId[] = "microsandbox";

const Challenge* Find(const std::vector<Challenge>& challenges, absl::string_view scheme) {
  for (const Challenge& challenge : challenges) {
    if (challenge.scheme == scheme) return &challenge;
  }
  return nullptr;
}

std::vector<std::string> ScopesOf(const Challenge& challenge, const std::string& repository) {
  std::vector<std::string> scopes = absl::StrSplit(challenge.Get("scope"), ' ', absl::SkipEmpty());
  if (scopes.empty()) scopes.push_back(absl::StrCat("repository:", repository, ":pull"));
  if (scopes.size() > kMaxScopes) scopes.resize(kMaxScopes);
  return scopes;
}

HttpRequest TokenRequest(Url realm, const Challenge& challenge,
                         const std::vector<std::string>& scopes) {
  std::string query = absl::StrCat("service=", PercentEncode(challenge.Get("service")));
  for (const std::string& scope : scopes) {
    absl::StrAppend(&query, "&scope=", PercentEncode(scope));
  }
  absl::StrAppend(&realm.target, realm.target.find('?') == std::string::npos ? "?" : "&", query);
  return {.url = std::move(realm)};
}

// OAuth2 with a refresh token, which is what an identity token is.
HttpRequest RefreshRequest(Url realm, const Challenge& challenge,
                           const std::vector<std::string>& scopes,
                           const std::string& identity_token) {
  HttpRequest request{.method = "POST", .url = std::move(realm)};
  request.fields.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  request.body = absl::StrCat("grant_type=refresh_token&client_id=", kClientId,
                              "&service=", PercentEncode(challenge.Get("service")),
                              "&scope=", PercentEncode(absl::StrJoin(scopes, " ")),
                              "&refresh_token=", PercentEncode(identity_token));
  return request;
}

// What goes into a header of ours must not end it.
bool IsToken(absl::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

std::string Authenticator::Authorization() const {
  const absl::MutexLock lock(&mutex_);
  return authorization_;
}

absl::Status Authenticator::Answer(const ResponseHead& head, const std::string& used,
                                   HttpClient& client) {
  const absl::MutexLock lock(&mutex_);
  // Another thread has been here since.
  if (authorization_ != used) return absl::OkStatus();
  std::vector<Challenge> challenges;
  for (const absl::string_view field : head.GetAll("www-authenticate")) {
    for (Challenge& challenge : ParseChallenges(field)) challenges.push_back(std::move(challenge));
  }
  if (const Challenge* bearer = Find(challenges, "bearer"); bearer != nullptr) {
    MSB_ASSIGN_OR_RETURN(const std::string token, FetchToken(*bearer, client));
    authorization_ = absl::StrCat("Bearer ", token);
    return absl::OkStatus();
  }
  const bool can_basic = !credentials_.username.empty() && Find(challenges, "basic") != nullptr;
  if (!can_basic || used == Basic()) return Denied(client.endpoint().Authority());
  authorization_ = Basic();
  return absl::OkStatus();
}

absl::StatusOr<std::string> Authenticator::FetchToken(const Challenge& challenge,
                                                      HttpClient& client) const {
  MSB_ASSIGN_OR_RETURN(Url realm, ParseUrl(challenge.Get("realm")));
  if (client.endpoint().tls && !realm.tls) {
    return MakeError(
        Reason::kImagePullFailed,
        absl::StrCat(client.endpoint().Authority(), " gives out its tokens by plain HTTP at ",
                     realm.Authority(), ": refused"));
  }
  const std::string server = realm.Authority();
  const std::vector<std::string> scopes = ScopesOf(challenge, repository_);
  HttpRequest request;
  if (!credentials_.identity_token.empty()) {
    request = RefreshRequest(std::move(realm), challenge, scopes, credentials_.identity_token);
  } else {
    request = TokenRequest(std::move(realm), challenge, scopes);
    if (!credentials_.username.empty()) request.authorization = Basic();
  }
  MSB_ASSIGN_OR_RETURN(const HttpClient::Document document,
                       client.FetchDocument(request, kMaxTokenBytes, "a token"));
  const int status = document.answer.head.status;
  if (status == 400 || status == 401 || status == 403) return Denied(server);
  if (status != 200) {
    const absl::Status failure =
        MakeError(Reason::kImagePullFailed,
                  absl::StrCat("the token server ", server, " answers with HTTP status ", status));
    return status == 429 || status >= 500 ? Transient(failure) : failure;
  }
  MSB_ASSIGN_OR_RETURN(const rapidjson::Document json,
                       ParseJsonObject(document.body, absl::StrCat("the token of ", server)));
  std::string token = StringMember(json, "token");
  if (token.empty()) token = StringMember(json, "access_token");
  if (!IsToken(token)) {
    return MakeError(Reason::kImagePullFailed,
                     absl::StrCat("the token server ", server, " gives no token"));
  }
  return token;
}

std::string Authenticator::Basic() const {
  return absl::StrCat("Basic ", absl::Base64Escape(absl::StrCat(credentials_.username, ":",
                                                                credentials_.password)));
}

absl::Status Authenticator::Denied(absl::string_view by) const {
  return MakeError(
      Reason::kImageAccessDenied,
      has_credentials()
          ? absl::StrCat(by, " does not take these credentials for ", repository_,
                         ": check user name and password, and the account's rights")
          : absl::StrCat(by, " wants credentials for ", repository_,
                         ": log in first; a registry also says so of an image that does not "
                         "exist"));
}

}  // namespace msb::image
