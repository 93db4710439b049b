// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Entries of trees as the API has them and as the agent does. Of what a guest sends, only its
// numbers are brought into range: names are bytes in both.

#ifndef MSB_PROTO_GUEST_TREE_ENTRY_H_
#define MSB_PROTO_GUEST_TREE_ENTRY_H_

#include <cstdint>

#include "msb/agent/v1/agent.pb.h"
#include "msb/v1/files.pb.h"

namespace msb {

// ns since the epoch; what does not fit is the nearest that does.
int64_t NanosecondsOf(const google::protobuf::Timestamp& time);
google::protobuf::Timestamp TimestampOf(int64_t ns);

// Both enumerations have the same numbers; a guest may send any.
msb::v1::FileType FileTypeToProto(msb::agent::v1::FileType type);

msb::v1::TreeEntry TreeEntryToProto(const msb::agent::v1::TreeEntry& entry);
msb::agent::v1::TreeEntry TreeEntryToAgent(const msb::v1::TreeEntry& entry);

}  // namespace msb

#endif  // MSB_PROTO_GUEST_TREE_ENTRY_H_
