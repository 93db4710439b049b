// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Messages of msb/v1/files.proto as the agent's, and back. What a guest sends is made text where
// the API has text, and numbers in range; what a client sends is checked by the agent itself.

#ifndef MSB_SUPERVISOR_API_FILE_CONVERT_H_
#define MSB_SUPERVISOR_API_FILE_CONVERT_H_

#include <cstdint>

#include "msb/agent/v1/agent.pb.h"
#include "msb/v1/files.pb.h"

namespace msb {

// ns since the epoch; what does not fit is the nearest that does.
int64_t NanosecondsOf(const google::protobuf::Timestamp& time);

msb::v1::FileInfo FileInfoToProto(const msb::agent::v1::FileInfo& info);
msb::v1::TreeEntry TreeEntryToProto(const msb::agent::v1::TreeEntry& entry);
msb::agent::v1::TreeEntry TreeEntryToAgent(const msb::v1::TreeEntry& entry);
msb::v1::WatchEvent WatchEventToProto(const msb::agent::v1::WatchEvent& event);

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_FILE_CONVERT_H_
