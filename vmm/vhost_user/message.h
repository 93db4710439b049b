// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Finds the messages of a front end in its Unix stream socket, with the descriptors that came
// along.
//
// The front end is hostile once its guest has broken out: a message's size, its version and the
// number of its descriptors are checked before anything is kept.

#ifndef MSB_VMM_VHOST_USER_MESSAGE_H_
#define MSB_VMM_VHOST_USER_MESSAGE_H_

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "vmm/vhost_user/spec.h"

namespace msb::vhost_user {

struct Message {
  Request request{};  // any number; only the session knows which are served
  bool needs_reply = false;
  std::string payload;
  std::vector<UniqueFd> descriptors;

  // The payload as `T`; nullopt when its length is another.
  template <typename T>
  std::optional<T> As() const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (payload.size() != sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, payload.data(), sizeof(T));
    return value;
  }
};

class MessageReader {
 public:
  // The next whole message of the non-blocking `socket`; nullopt when it has not come yet.
  // absl::StatusCode::kUnavailable at end of stream (without a reason, the front end is gone);
  // kQemuError for a message that no front end sends.
  absl::StatusOr<std::optional<Message>> Next(int socket);

 private:
  absl::StatusOr<bool> Fill(int socket, absl::string_view what, size_t wanted);

  std::string buffer_;  // the header, then the payload behind it
  std::vector<UniqueFd> descriptors_;
};

// Sends a whole reply. The front end waits for it, so a socket that has no room is an error.
// kUnavailable, as of Next, when the front end is gone.
absl::Status SendReply(int socket, Request request, absl::string_view payload);

}  // namespace msb::vhost_user

#endif  // MSB_VMM_VHOST_USER_MESSAGE_H_
