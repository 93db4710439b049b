// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Who owns a file, as the guest sees it and as the host does (docs/mounts.md).

#ifndef MSB_FILE_SERVER_TREE_IDENTITY_H_
#define MSB_FILE_SERVER_TREE_IDENTITY_H_

#include <sys/types.h>

#include <cstdint>

namespace msb {

class IdentityMap {
 public:
  // What the guest sees of ids that are not the server's own.
  static constexpr uint32_t kNobody = 65534;

  // The same numbers on both sides: for a server that may chown.
  static IdentityMap PassThrough() { return IdentityMap(Kind::kPassThrough, {}, {}); }
  // The server's own ids are those of `guest`; every other id is nobody's.
  struct Owner {
    uint32_t uid = 0;
    uint32_t gid = 0;
  };
  static IdentityMap Single(Owner host, Owner guest) {
    return IdentityMap(Kind::kSingle, host, guest);
  }

  bool passes_through() const { return kind_ == Kind::kPassThrough; }

  uint32_t GuestUid(uid_t uid) const {
    if (passes_through()) return uid;
    return uid == host_.uid ? guest_.uid : kNobody;
  }
  uint32_t GuestGid(gid_t gid) const {
    if (passes_through()) return gid;
    return gid == host_.gid ? guest_.gid : kNobody;
  }

 private:
  enum class Kind { kPassThrough, kSingle };
  IdentityMap(Kind kind, Owner host, Owner guest) : kind_(kind), host_(host), guest_(guest) {}

  Kind kind_;
  Owner host_;
  Owner guest_;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_TREE_IDENTITY_H_
