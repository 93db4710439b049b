// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/blob/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

namespace msb::image {
namespace {

constexpr size_t kHexDigits = 64;

bool IsLowerHex(char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); }

}  // namespace

absl::StatusOr<Digest> Digest::Parse(absl::string_view text) {
  absl::string_view hex = text;
  if (absl::ConsumePrefix(&hex, "sha256:") && hex.size() == kHexDigits &&
      std::all_of(hex.begin(), hex.end(), IsLowerHex)) {
    return Digest(std::string(hex));
  }
  const std::string shown = EscapeForLog(text.substr(0, 100));
  if (absl::StartsWith(text, "sha512:") || absl::StartsWith(text, "sha384:")) {
    return MakeError(Reason::kImageUnsupported,
                     absl::StrCat("digest \"", shown, "\": only sha256 is understood"));
  }
  return MakeError(Reason::kImageInvalid, absl::StrCat("\"", shown, "\" is no digest"));
}

void Sha256::Free::operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  MSB_CHECK(context_ != nullptr);
  MSB_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256::Update(absl::string_view bytes) {
  MSB_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

Digest Sha256::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw;
  unsigned int length = 0;
  MSB_CHECK(EVP_DigestFinal_ex(context_.get(), raw.data(), &length) == 1);
  MSB_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  return Digest(
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(raw.data()), length)));
}

Digest Sha256::Of(absl::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

}  // namespace msb::image
