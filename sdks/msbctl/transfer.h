// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Files and trees on their way into a sandbox and out of it, whichever way they take: past the
// daemon (direct_transfer.h), or in calls of the API.
//
// Threading: one thread's.

#ifndef MSB_SDKS_MSBCTL_TRANSFER_H_
#define MSB_SDKS_MSBCTL_TRANSFER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "msb/v1/files.pb.h"
#include "sdks/msbctl/client.h"

namespace msb {

// Into a sandbox: one file's content, or entries with a regular file's content behind its own.
class Upload {
 public:
  static absl::StatusOr<std::unique_ptr<Upload>> File(Client& client,
                                                      const msb::v1::WriteFileOpen& open);
  static absl::StatusOr<std::unique_ptr<Upload>> Tree(Client& client,
                                                      const msb::v1::WriteTreeOpen& open);
  virtual ~Upload() = default;

  // Both are false when the other side takes no more: Finish says why. `data`, of at most 1 MiB,
  // comes back as it was.
  virtual bool Entry(const msb::v1::TreeEntry& entry) = 0;
  virtual bool Data(std::string& data) = 0;
  // All was sent, or reading it here has failed, by `read`: then nothing of an unfinished file
  // stays there. How the transfer has ended.
  virtual absl::Status Finish(const absl::Status& read) = 0;
};

// Out of a sandbox, which is hostile.
class Download {
 public:
  static absl::StatusOr<std::unique_ptr<Download>> Tree(Client& client,
                                                        const msb::v1::ReadTreeRequest& request);
  virtual ~Download() = default;

  // An entry, a piece of the content of the one before, or neither: the end. Valid until the next
  // call.
  struct Chunk {
    const msb::v1::TreeEntry* entry = nullptr;
    absl::string_view data;
    bool is_end() const { return entry == nullptr && data.empty(); }
  };
  virtual absl::StatusOr<Chunk> Next() = 0;
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_TRANSFER_H_
