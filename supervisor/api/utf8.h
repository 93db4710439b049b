// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Names of a guest as text: Linux takes any bytes, a protobuf string is UTF-8.

#ifndef MSB_SUPERVISOR_API_UTF8_H_
#define MSB_SUPERVISOR_API_UTF8_H_

#include <string>

#include "absl/strings/string_view.h"

namespace msb {

// `bytes` with U+FFFD in place of each byte that is no part of well-formed UTF-8 (RFC 3629:
// shortest form, no surrogates, at most U+10FFFF).
std::string Utf8OrReplaced(absl::string_view bytes);

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_UTF8_H_
