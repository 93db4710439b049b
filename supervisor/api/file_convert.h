// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Messages of msb/v1/files.proto as the agent's, and back. What a guest sends is made text where
// the API has text, and numbers in range; what a client sends is checked by the agent itself.

#ifndef MSB_SUPERVISOR_API_FILE_CONVERT_H_
#define MSB_SUPERVISOR_API_FILE_CONVERT_H_

#include "msb/agent/v1/agent.pb.h"
#include "msb/v1/files.pb.h"
#include "proto/guest/tree_entry.h"  // IWYU pragma: export

namespace msb {

// What opens an operation of the agent.
msb::agent::v1::Open OpenOf(const msb::v1::ReadFileRequest& request);
msb::agent::v1::Open OpenOf(const msb::v1::WriteFileOpen& request);
msb::agent::v1::Open OpenOf(const msb::v1::ReadTreeRequest& request);
msb::agent::v1::Open OpenOf(const msb::v1::WriteTreeOpen& request);

msb::v1::FileInfo FileInfoToProto(const msb::agent::v1::FileInfo& info);
msb::v1::WatchEvent WatchEventToProto(const msb::agent::v1::WatchEvent& event);

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_FILE_CONVERT_H_
