// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a blob is called by: "sha256:" and the hash of its bytes.

#ifndef MSB_IMAGE_BLOB_DIGEST_H_
#define MSB_IMAGE_BLOB_DIGEST_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

typedef struct evp_md_ctx_st EVP_MD_CTX;

namespace msb::image {

class Digest {
 public:
  // kImageUnsupported for an algorithm other than sha256, kImageInvalid for what is no digest.
  static absl::StatusOr<Digest> Parse(absl::string_view text);

  // 64 lower-case hexadecimal digits.
  const std::string& hex() const { return hex_; }
  std::string text() const { return absl::StrCat("sha256:", hex_); }
  // Of a blob in a staging directory.
  std::string file_name() const { return absl::StrCat("sha256-", hex_); }

  friend bool operator==(const Digest&, const Digest&) = default;
  friend auto operator<=>(const Digest&, const Digest&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const Digest& digest) {
    return H::combine(std::move(state), digest.hex_);
  }

 private:
  friend class Sha256;
  explicit Digest(std::string hex) : hex_(std::move(hex)) {}
  std::string hex_;
};

// Hashes bytes that arrive in pieces.
class Sha256 {
 public:
  Sha256();
  void Update(absl::string_view bytes);
  // Of all bytes so far; begins anew.
  Digest Finish();

  static Digest Of(absl::string_view bytes);

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const;
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_BLOB_DIGEST_H_
