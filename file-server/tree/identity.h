// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Who owns a file, as the guest sees it and as the host does (docs/mounts.md).

#ifndef MSB_FILE_SERVER_TREE_IDENTITY_H_
#define MSB_FILE_SERVER_TREE_IDENTITY_H_

#include <sys/types.h>

#include <cstdint>

namespace msb {

struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

class IdentityMap {
 public:
  // What the guest sees of ids that are not the server's own.
  static constexpr uint32_t kNobody = 65534;

  // The same numbers on both sides: for a server that may chown.
  static IdentityMap PassThrough() { return IdentityMap(Kind::kPassThrough, {}); }
  // The server's own ids, `host`, are those of an export's owner; every other id is nobody's.
  static IdentityMap Single(Owner host) { return IdentityMap(Kind::kSingle, host); }

  bool passes_through() const { return kind_ == Kind::kPassThrough; }

  uint32_t GuestUid(uid_t uid, Owner owner) const {
    if (passes_through()) return uid;
    return uid == host_.uid ? owner.uid : kNobody;
  }
  uint32_t GuestGid(gid_t gid, Owner owner) const {
    if (passes_through()) return gid;
    return gid == host_.gid ? owner.gid : kNobody;
  }

 private:
  enum class Kind { kPassThrough, kSingle };
  IdentityMap(Kind kind, Owner host) : kind_(kind), host_(host) {}

  Kind kind_;
  Owner host_;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_TREE_IDENTITY_H_
