// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// "NAME[=SOURCE]@HOST[,HOST...]": a secret, where its value comes from, and where it may go. SOURCE
// is env:VARIABLE, file:PATH or - (standard input); without one it is env:NAME. There is no way to
// write the value itself: the shell's history and every user's ps would have it.

#ifndef MSB_SDKS_MSBCTL_SECRET_ARGUMENT_H_
#define MSB_SDKS_MSBCTL_SECRET_ARGUMENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "msb/v1/network.pb.h"

namespace msb {

// Reads the source; one line's end behind the value is no part of it. kSecretInvalid.
absl::StatusOr<msb::v1::Secret> ParseSecret(absl::string_view word);
// "NAME[=SOURCE]": a value alone, for a secret that there is.
absl::StatusOr<msb::v1::Secret> ParseSecretValue(absl::string_view word);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_SECRET_ARGUMENT_H_
