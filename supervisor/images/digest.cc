// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/digest.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr size_t kBlockBytes = 1u << 20;

class Hasher {
 public:
  // These fail for want of memory alone.
  Hasher() : context_(::EVP_MD_CTX_new(), ::EVP_MD_CTX_free) {
    MSB_CHECK(context_ != nullptr);
    MSB_CHECK(::EVP_DigestInit_ex(context_.get(), ::EVP_sha256(), nullptr) == 1);
  }
  void Add(const void* bytes, size_t size) {
    MSB_CHECK(::EVP_DigestUpdate(context_.get(), bytes, size) == 1);
  }
  std::string Digest() {
    std::string raw(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    MSB_CHECK(::EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(raw.data()),
                                   &size) == 1);
    raw.resize(size);
    return absl::StrCat(kDigestPrefix, absl::BytesToHexString(raw));
  }

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

}  // namespace

bool IsDigest(absl::string_view text) {
  if (!absl::StartsWith(text, kDigestPrefix)) return false;
  text.remove_prefix(kDigestPrefix.size());
  return text.size() == kDigestHexBytes && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f');
         });
}

absl::string_view HexOf(absl::string_view digest) {
  MSB_CHECK(IsDigest(digest));
  return digest.substr(kDigestPrefix.size());
}

std::string Sha256(absl::string_view bytes) {
  Hasher hasher;
  hasher.Add(bytes.data(), bytes.size());
  return hasher.Digest();
}

absl::StatusOr<std::string> Sha256OfFile(int fd) {
  Hasher hasher;
  std::vector<char> block(kBlockBytes);
  off_t offset = 0;
  while (true) {
    const auto got =
        Syscall("read", [&] { return ::pread(fd, block.data(), block.size(), offset); });
    if (!got.ok()) return WithReason(Reason::kHostError, "hashing a blob", got.status());
    if (*got == 0) return hasher.Digest();
    hasher.Add(block.data(), static_cast<size_t>(*got));
    offset += *got;
  }
}

}  // namespace msb
