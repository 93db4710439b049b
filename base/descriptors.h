// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Bytes with descriptors (SCM_RIGHTS) over a Unix socket. Only WriteWithDescriptors waits.

#ifndef MSB_BASE_DESCRIPTORS_H_
#define MSB_BASE_DESCRIPTORS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"

namespace msb {

// That are sent at once.
inline constexpr size_t kMaxDescriptorsAtOnce = 16;

// What has come, at most as much as `buffer` has room for, into its front; its descriptors behind
// those that are there, however many. 0: nothing yet. kUnavailable: the other side has gone.
absl::StatusOr<size_t> ReceiveWithDescriptors(int socket, std::string& buffer,
                                              std::vector<UniqueFd>& descriptors);

// Of a packet socket: all of `packet`, or nothing and why (kUnavailable: there is no room now).
// Copies of the descriptors go along.
absl::Status SendWithDescriptors(int socket, absl::string_view packet,
                                 absl::Span<const int> descriptors);

// Of a stream: all of `bytes`, the descriptors with the first of them. kDeadlineExceeded (no
// reason): the other side did not read them by then.
absl::Status WriteWithDescriptors(int socket, absl::string_view bytes,
                                  absl::Span<const int> descriptors, absl::Time deadline);

}  // namespace msb

#endif  // MSB_BASE_DESCRIPTORS_H_
