// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the index of images knows.

#ifndef MSB_SUPERVISOR_STORE_IMAGE_RECORD_H_
#define MSB_SUPERVISOR_STORE_IMAGE_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace msb {

struct ImageLayerRecord {
  std::string diff_id;
  std::string blob_digest;
  uint64_t blob_bytes = 0;
  uint64_t bytes = 0;  // of its file
};

struct ImageRecord {
  std::string digest;  // of its manifest
  std::string config_digest;
  absl::Time stored_at = absl::UnixEpoch();
  std::vector<ImageLayerRecord> layers;  // lowest first
};

// Whose a name is: a user's, or everybody's.
inline constexpr int64_t kEverybody = -1;

struct ImageName {
  int64_t scope = kEverybody;  // or a user id
  std::string name;            // "docker.io/library/debian:12"
  std::string digest;          // of the image
  std::string index_digest;    // of the index that the registry had for the name; may be empty
  uint32_t owner_uid = 0;      // who made it
  absl::Time at = absl::UnixEpoch();
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_STORE_IMAGE_RECORD_H_
