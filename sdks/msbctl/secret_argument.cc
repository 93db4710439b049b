// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/secret_argument.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace msb {
namespace {

constexpr size_t kMaxValueBytes = 16384;

absl::Status Invalid(absl::string_view name, absl::string_view what) {
  return MakeError(Reason::kSecretInvalid, absl::StrCat("--secret ", name, ": ", what));
}

absl::Status ReadValue(absl::string_view name, int fd, std::string& value) {
  // One piece, so that no copy stays behind where it grew.
  value.resize(kMaxValueBytes + 2);
  size_t size = 0;
  while (size < value.size()) {
    const ssize_t got = ::read(fd, value.data() + size, value.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Invalid(name, std::strerror(errno));
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  value.resize(size);
  if (!value.empty() && value.back() == '\n') value.pop_back();
  if (!value.empty() && value.back() == '\r') value.pop_back();
  if (value.size() <= kMaxValueBytes) return absl::OkStatus();
  return Invalid(name, absl::StrCat("at most ", kMaxValueBytes, " bytes"));
}

absl::Status TakeValue(absl::string_view source, msb::v1::Secret& secret) {
  const std::string& name = secret.name();
  std::string& value = *secret.mutable_value();
  if (source == "-") {
    MSB_RETURN_IF_ERROR(ReadValue(name, STDIN_FILENO, value));
  } else if (absl::ConsumePrefix(&source, "file:")) {
    const UniqueFd file(::open(std::string(source).c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) return Invalid(name, absl::StrCat(source, ": ", std::strerror(errno)));
    MSB_RETURN_IF_ERROR(ReadValue(name, file.get(), value));
  } else if (absl::ConsumePrefix(&source, "env:")) {
    const char* const found = std::getenv(std::string(source).c_str());
    if (found == nullptr) return Invalid(name, absl::StrCat("there is no variable ", source));
    value = found;
  } else {
    // Perhaps the value itself: it is not repeated.
    return Invalid(name, "the value comes from env:VARIABLE, file:PATH or - (standard input)");
  }
  return value.empty() ? Invalid(name, "the value is empty") : absl::OkStatus();
}

}  // namespace

absl::StatusOr<msb::v1::Secret> ParseSecretValue(absl::string_view word) {
  const size_t equals = word.find('=');
  msb::v1::Secret secret;
  secret.set_name(std::string(word.substr(0, equals)));
  const std::string source = equals == absl::string_view::npos
                                 ? absl::StrCat("env:", secret.name())
                                 : std::string(word.substr(equals + 1));
  MSB_RETURN_IF_ERROR(TakeValue(source, secret));
  return secret;
}

absl::StatusOr<msb::v1::Secret> ParseSecret(absl::string_view word) {
  // A path may have an @; a host has none.
  const size_t at = word.rfind('@');
  if (at == absl::string_view::npos || at + 1 == word.size()) {
    return Invalid(word.substr(0, word.find('=')),
                   "say where it may go: NAME[=SOURCE]@HOST[,HOST...]");
  }
  MSB_ASSIGN_OR_RETURN(msb::v1::Secret secret, ParseSecretValue(word.substr(0, at)));
  for (const absl::string_view host : absl::StrSplit(word.substr(at + 1), ',')) {
    secret.add_hosts(std::string(host));
  }
  return secret;
}

}  // namespace msb
