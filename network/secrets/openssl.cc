// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/secrets/openssl.h"

#include <openssl/err.h>

#include "absl/strings/str_cat.h"

namespace msb::net {

absl::Status OpensslError(absl::string_view what) {
  const unsigned long code = ::ERR_get_error();
  ::ERR_clear_error();
  const char* const reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  return absl::UnknownError(reason == nullptr ? std::string(what)
                                              : absl::StrCat(what, ": ", reason));
}

}  // namespace msb::net
