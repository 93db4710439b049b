// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/registry_login.h"

#include <rapidjson/document.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {
namespace {

using Json = rapidjson::Value;

constexpr size_t kMaxFileBytes = 1u << 20;

std::string Member(const Json& object, const char* key) {
  const auto member = object.FindMember(key);
  if (member == object.MemberEnd() || !member->value.IsString()) return "";
  return std::string(member->value.GetString(), member->value.GetStringLength());
}

// "https://index.docker.io/v1/" and "ghcr.io" alike.
std::string HostOf(absl::string_view key) {
  if (const size_t scheme = key.find("://"); scheme != absl::string_view::npos) {
    key.remove_prefix(scheme + 3);
  }
  const std::string host = absl::AsciiStrToLower(key.substr(0, key.find('/')));
  return host == "index.docker.io" || host == "registry-1.docker.io" ? "docker.io" : host;
}

absl::StatusOr<msb::v1::RegistryCredentials> Read(const Json& entry, absl::string_view path) {
  msb::v1::RegistryCredentials login;
  login.set_identity_token(Member(entry, "identitytoken"));
  login.set_username(Member(entry, "username"));
  login.set_password(Member(entry, "password"));
  const std::string encoded = Member(entry, "auth");
  if (encoded.empty()) return login;
  std::string pair;
  const bool decoded = absl::Base64Unescape(encoded, &pair);
  const size_t colon = pair.find(':');
  if (!decoded || colon == std::string::npos) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat(path, ": \"auth\" is no base64 of NAME:PASSWORD"));
  }
  login.set_username(pair.substr(0, colon));
  if (login.identity_token().empty()) login.set_password(pair.substr(colon + 1));
  return login;
}

// Whether a program has the registry's credentials.
bool HasHelper(const Json& document, absl::string_view registry) {
  if (!Member(document, "credsStore").empty()) return true;
  const auto helpers = document.FindMember("credHelpers");
  if (helpers == document.MemberEnd() || !helpers->value.IsObject()) return false;
  const auto list = helpers->value.GetObject();
  return std::any_of(list.begin(), list.end(),
                     [&](const auto& one) { return HostOf(one.name.GetString()) == registry; });
}

}  // namespace

std::string RegistryOf(absl::string_view image) {
  const size_t slash = image.find('/');
  if (slash == absl::string_view::npos) return "docker.io";
  const absl::string_view first = image.substr(0, slash);
  const bool host = first == "localhost" || first.find_first_of(".:[") != absl::string_view::npos ||
                    std::any_of(first.begin(), first.end(), absl::ascii_isupper);
  return host ? HostOf(first) : "docker.io";
}

absl::StatusOr<msb::v1::RegistryCredentials> LoginFrom(absl::string_view json,
                                                       absl::string_view registry,
                                                       absl::string_view path) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat(path, " is no JSON object"));
  }
  const auto logins = document.FindMember("auths");
  if (logins != document.MemberEnd() && logins->value.IsObject()) {
    for (const auto& entry : logins->value.GetObject()) {
      if (!entry.value.IsObject() || HostOf(entry.name.GetString()) != registry) continue;
      MSB_ASSIGN_OR_RETURN(msb::v1::RegistryCredentials login, Read(entry.value, path));
      if (!login.username().empty() || !login.identity_token().empty()) return login;
    }
  }
  if (!HasHelper(document, registry)) return msb::v1::RegistryCredentials();
  return MakeError(Reason::kInvalidArgument,
                   absl::StrCat(path, " leaves the login for ", registry,
                                " to a credential helper, which msbctl does not run: give "
                                "--username and --password-stdin, or --anonymous"));
}

absl::StatusOr<msb::v1::RegistryCredentials> LoginOf(absl::string_view registry) {
  const char* const folder = std::getenv("DOCKER_CONFIG");
  const char* const home = std::getenv("HOME");
  std::string path;
  if (folder != nullptr && folder[0] != '\0') {
    path = absl::StrCat(folder, "/config.json");
  } else if (home != nullptr) {
    path = absl::StrCat(home, "/.docker/config.json");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return msb::v1::RegistryCredentials();
  std::string json(kMaxFileBytes + 1, '\0');
  file.read(json.data(), static_cast<std::streamsize>(json.size()));
  json.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  if (json.size() > kMaxFileBytes) {
    return MakeError(Reason::kInvalidArgument, absl::StrCat(path, " has more than 1 MiB"));
  }
  return LoginFrom(json, registry, path);
}

}  // namespace msb
