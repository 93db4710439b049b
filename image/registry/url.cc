// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/url.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb::image {
namespace {

// Signed URLs of object stores have some kilobytes.
constexpr size_t kMaxUrlBytes = 16 * 1024;
constexpr size_t kMaxHostBytes = 253;

absl::Status NoUrl(absl::string_view text) {
  return MakeError(Reason::kImagePullFailed,
                   absl::StrCat("\"", EscapeForLog(text.substr(0, 200)),
                                "\" is no http or https URL that can be used"));
}

bool IsHostCharacter(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_'; }

bool IsVisible(char c) { return c > 0x20 && c < 0x7f; }

uint16_t DefaultPort(bool tls) { return tls ? 443 : 80; }

// "[::1]" at the front of `text`, or a name; what follows stays there.
absl::StatusOr<std::string> TakeHost(absl::string_view& text) {
  std::string host;
  if (absl::ConsumePrefix(&text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) return NoUrl(text);
    host = std::string(text.substr(0, end));
    text.remove_prefix(end + 1);
    if (!std::all_of(host.begin(), host.end(),
                     [](char c) { return absl::ascii_isxdigit(c) || c == ':' || c == '.'; })) {
      return NoUrl(host);
    }
  } else {
    const size_t end = std::min(text.find(':'), text.size());
    host = absl::AsciiStrToLower(text.substr(0, end));
    text.remove_prefix(end);
    if (!std::all_of(host.begin(), host.end(), IsHostCharacter)) return NoUrl(host);
  }
  if (host.empty() || host.size() > kMaxHostBytes) return NoUrl(host);
  return host;
}

absl::StatusOr<Url> ParseAuthority(absl::string_view authority, bool tls) {
  Url url{.tls = tls, .port = DefaultPort(tls), .target = "/"};
  absl::string_view rest = authority;
  MSB_ASSIGN_OR_RETURN(url.host, TakeHost(rest));
  if (rest.empty()) return url;
  int port = 0;
  if (!absl::ConsumePrefix(&rest, ":") || rest.size() > 5 ||
      !std::all_of(rest.begin(), rest.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(rest, &port) || port < 1 || port > 65535) {
    return NoUrl(authority);
  }
  url.port = static_cast<uint16_t>(port);
  return url;
}

}  // namespace

std::string Url::Authority() const {
  const bool v6 = absl::StrContains(host, ':');
  return absl::StrCat(v6 ? "[" : "", host, v6 ? "]" : "",
                      port == DefaultPort(tls) ? "" : absl::StrCat(":", port));
}

std::string Url::ToString() const {
  return absl::StrCat(tls ? "https://" : "http://", Authority(), target);
}

absl::StatusOr<Url> ParseUrl(absl::string_view text) {
  if (text.size() > kMaxUrlBytes || !std::all_of(text.begin(), text.end(), IsVisible)) {
    return NoUrl(text);
  }
  absl::string_view rest = text.substr(0, text.find('#'));
  const size_t colon = rest.find("://");
  if (colon == absl::string_view::npos) return NoUrl(text);
  const std::string scheme = absl::AsciiStrToLower(rest.substr(0, colon));
  if (scheme != "http" && scheme != "https") return NoUrl(text);
  rest.remove_prefix(colon + 3);
  const size_t end = std::min(rest.find_first_of("/?"), rest.size());
  MSB_ASSIGN_OR_RETURN(Url url, ParseAuthority(rest.substr(0, end), scheme == "https"));
  rest.remove_prefix(end);
  url.target = absl::StrCat(absl::StartsWith(rest, "/") ? "" : "/", rest);
  return url;
}

absl::StatusOr<Url> ResolveReference(const Url& base, absl::string_view reference) {
  const absl::string_view before_path = reference.substr(0, reference.find_first_of("/?#"));
  if (absl::StrContains(before_path, ':')) return ParseUrl(reference);
  if (absl::StartsWith(reference, "//")) {
    return ParseUrl(absl::StrCat(base.tls ? "https:" : "http:", reference));
  }
  Url origin = base;
  origin.target = "";
  std::string path(reference);
  if (!absl::StartsWith(path, "/")) {
    // RFC 3986, 5.2.3: beside the last part of the base's path. Dots are left to the server.
    const absl::string_view base_path =
        absl::string_view(base.target).substr(0, base.target.find('?'));
    path = absl::StrCat(base_path.substr(0, base_path.rfind('/') + 1), path);
  }
  return ParseUrl(absl::StrCat(origin.ToString(), path));
}

absl::StatusOr<Url> UrlOfEndpoint(absl::string_view host_and_port, bool tls) {
  return ParseAuthority(host_and_port, tls);
}

std::string PercentEncode(absl::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) || absl::StrContains("-._~", c)) {
      encoded.push_back(c);
    } else {
      absl::StrAppendFormat(&encoded, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace msb::image
