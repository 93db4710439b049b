// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/reference.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/images/digest.h"

namespace msb {
namespace {

constexpr size_t kMaxNameBytes = 255;  // registry and repository
constexpr size_t kMaxTagBytes = 128;
constexpr size_t kMaxPlainWordBytes = 128;
constexpr size_t kMinDigestPrefix = 12;
constexpr int kMaxPort = 65535;

bool IsLowerOrDigit(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(c));
}

bool IsAlnum(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

// [a-z0-9]+ parts with one '.', one or two '_', or any number of '-' between them.
bool IsPathComponent(absl::string_view text) {
  if (text.empty() || !IsLowerOrDigit(text.front()) || !IsLowerOrDigit(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    if (IsLowerOrDigit(text[i])) {
      ++i;
      continue;
    }
    const size_t begin = i;
    while (i < text.size() && text[i] == text[begin]) ++i;
    const size_t length = i - begin;
    const bool allowed = (text[begin] == '.' && length == 1) ||
                         (text[begin] == '_' && length <= 2) || text[begin] == '-';
    if (!allowed || !IsLowerOrDigit(text[i])) return false;
  }
  return true;
}

bool IsRepository(absl::string_view text) {
  for (const absl::string_view component : absl::StrSplit(text, '/')) {
    if (!IsPathComponent(component)) return false;
  }
  return true;
}

bool IsTag(absl::string_view text) {
  if (text.empty() || text.size() > kMaxTagBytes) return false;
  if (!IsAlnum(text[0]) && text[0] != '_') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool IsPort(absl::string_view text) {
  int port = 0;
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, &port) && port >= 1 && port <= kMaxPort;
}

bool IsHostName(absl::string_view text) {
  for (const absl::string_view label : absl::StrSplit(text, '.')) {
    if (label.empty() || !IsAlnum(label.front()) || !IsAlnum(label.back())) return false;
    if (!std::all_of(label.begin(), label.end(), [](char c) { return IsAlnum(c) || c == '-'; })) {
      return false;
    }
  }
  return true;
}

bool IsRegistry(absl::string_view text) {
  absl::string_view host = text;
  if (absl::StartsWith(text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos || end < 3) return false;
    host = text.substr(1, end - 1);
    const absl::string_view rest = text.substr(end + 1);
    const bool address = std::all_of(host.begin(), host.end(), [](char c) {
      return absl::ascii_isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.';
    });
    return address && (rest.empty() || (rest[0] == ':' && IsPort(rest.substr(1))));
  }
  if (const size_t colon = host.find(':'); colon != absl::string_view::npos) {
    if (!IsPort(host.substr(colon + 1))) return false;
    host = host.substr(0, colon);
  }
  return IsHostName(host);
}

// Docker's rule: what stands before the first slash is a registry when it cannot be a user's name.
bool NamesARegistry(absl::string_view first) {
  return first == "localhost" || first.find_first_of(".:[") != absl::string_view::npos ||
         std::any_of(first.begin(), first.end(),
                     [](char c) { return absl::ascii_isupper(static_cast<unsigned char>(c)); });
}

void SplitRegistry(absl::string_view name, ImageReference& reference) {
  const size_t slash = name.find('/');
  if (slash != absl::string_view::npos && NamesARegistry(name.substr(0, slash))) {
    reference.registry = absl::AsciiStrToLower(name.substr(0, slash));
    name.remove_prefix(slash + 1);
    if (reference.registry == "index.docker.io") reference.registry = std::string(kDockerHub);
  } else {
    reference.registry = std::string(kDockerHub);
  }
  reference.repository = std::string(name);
  if (reference.registry == kDockerHub && !absl::StrContains(name, '/')) {
    reference.repository = absl::StrCat("library/", name);
  }
}

absl::Status Invalid(absl::string_view text, absl::string_view what) {
  return MakeError(Reason::kInvalidArgument,
                   absl::StrCat("'", EscapeForLog(text.substr(0, kMaxNameBytes)),
                                "' is no name of an image: ", what,
                                "; such a name is [REGISTRY/]REPOSITORY[:TAG][@sha256:DIGEST]"));
}

}  // namespace

std::string ImageReference::Name() const {
  return digest.empty() ? absl::StrCat(registry, "/", repository, ":", tag)
                        : absl::StrCat(registry, "/", repository, "@", digest);
}

std::string ImageReference::ShortName() const {
  absl::string_view name = repository;
  if (registry == kDockerHub) absl::ConsumePrefix(&name, "library/");
  const std::string place =
      registry == kDockerHub ? std::string(name) : absl::StrCat(registry, "/", name);
  return digest.empty() ? absl::StrCat(place, ":", tag) : absl::StrCat(place, "@", digest);
}

absl::StatusOr<ImageReference> ParseReference(absl::string_view text) {
  if (IsDigest(text)) return Invalid(text, "a digest alone does not say of which repository");
  ImageReference reference;
  absl::string_view name = text;
  if (const size_t at = name.find('@'); at != absl::string_view::npos) {
    reference.digest = std::string(name.substr(at + 1));
    if (!IsDigest(reference.digest)) {
      return Invalid(text, "behind '@' stands sha256: and 64 digits of 0-9a-f");
    }
    name = name.substr(0, at);
  }
  // A colon before the last slash belongs to the registry's port.
  const size_t slash = name.rfind('/');
  const size_t colon = name.rfind(':');
  const bool tagged =
      colon != absl::string_view::npos && (slash == absl::string_view::npos || colon > slash);
  if (tagged) {
    reference.tag = std::string(name.substr(colon + 1));
    if (!IsTag(reference.tag)) {
      return Invalid(text,
                     "a tag has at most 128 of A-Z a-z 0-9 _ . - and begins with none of . -");
    }
    name = name.substr(0, colon);
  } else if (reference.digest.empty()) {
    reference.tag = "latest";
  }
  if (name.empty() || name.size() > kMaxNameBytes) return Invalid(text, "it has 1 to 255 bytes");
  SplitRegistry(name, reference);
  if (!IsRegistry(reference.registry)) return Invalid(text, "the registry is no HOST[:PORT]");
  if (!IsRepository(reference.repository)) {
    return Invalid(text, "a repository has lower-case letters and digits, between them . _ __ - /");
  }
  if (reference.repository.size() == kDigestHexBytes + sizeof("library/") - 1 &&
      IsDigest(absl::StrCat(kDigestPrefix, reference.repository.substr(sizeof("library/") - 1)))) {
    return Invalid(text, "a digest is written with sha256: before it");
  }
  return reference;
}

bool IsPlainWord(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxPlainWordBytes && IsLowerOrDigit(text[0]) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return IsLowerOrDigit(c) || c == '_' || c == '.' || c == '-'; });
}

bool IsDigestPrefix(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, kDigestPrefix)) return false;
  return text.size() >= kMinDigestPrefix && text.size() <= kDigestHexBytes &&
         IsDigest(
             absl::StrCat(kDigestPrefix, text, std::string(kDigestHexBytes - text.size(), '0')));
}

}  // namespace msb
