// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Files that do not say how much they hold: by stat(2) one of proc has no byte and one of sysfs a
// page, whatever a read brings. Who has to tell the size before the content reads all of it first.

#ifndef MSB_BASE_UNSIZED_FILE_H_
#define MSB_BASE_UNSIZED_FILE_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace msb {

// More than any honest file of the kind has, and little enough to be held: some of them never end.
inline constexpr size_t kMaxUnsizedBytes = size_t{16} << 20;
// What is said of a larger one, behind its name.
inline constexpr absl::string_view kUnsizedIsTooLarge =
    "does not say how large it is, and has more than the 16 MiB that are taken of such a file; "
    "for a stream: msbctl exec SANDBOX -- cat FILE";

// From where `fd` stands to the end, or to where it has nothing more at the moment. Nullopt when
// the system refuses, and errno says why; EFBIG beyond kMaxUnsizedBytes.
std::optional<std::string> ReadUnsized(int fd);

}  // namespace msb

#endif  // MSB_BASE_UNSIZED_FILE_H_
