// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Who makes a call.

#ifndef MSB_SUPERVISOR_SANDBOX_CALLER_H_
#define MSB_SUPERVISOR_SANDBOX_CALLER_H_

#include <cstdint>
#include <vector>

namespace msb {

// What the kernel says of the process at the other end of the socket; of a caller by token, the
// daemon itself.
struct Caller {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  bool sees_all = false;  // root and the daemon's own user
  enum class Way { kSocket, kToken };
  Way way = Way::kSocket;

  bool MaySee(uint32_t owner_uid) const { return sees_all || uid == owner_uid; }
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_CALLER_H_
