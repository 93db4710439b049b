// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a client that is to go past the daemon asks for (OpenTransferRequest of msb/v1/files.proto),
// as it arrives: from anybody who can connect, so that this is looked at before he is.

#ifndef MSB_SUPERVISOR_API_TRANSFER_REQUEST_H_
#define MSB_SUPERVISOR_API_TRANSFER_REQUEST_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/frames.h"
#include "msb/agent/v1/agent.pb.h"

namespace msb {

// Not thread-safe.
class TransferRequestReader {
 public:
  // A path, a user and a sandbox's name have room in it.
  static constexpr size_t kMaxRequestBytes = 16 * 1024;

  struct Operation {
    std::string sandbox;
    msb::agent::v1::Open open;
  };

  // What came next, from the preface on; nullopt: the request is not whole yet. kAgentVersion; an
  // error for what is no request, and for anything that comes behind one.
  absl::StatusOr<std::optional<Operation>> Take(absl::string_view bytes);

 private:
  FrameReader reader_{kMaxRequestBytes};
  bool has_preface_ = false;
  bool is_whole_ = false;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_TRANSFER_REQUEST_H_
