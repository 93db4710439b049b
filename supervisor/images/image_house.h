// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What pulls, loads and saves work with, and the rules that they share.

#ifndef MSB_SUPERVISOR_IMAGES_IMAGE_HOUSE_H_
#define MSB_SUPERVISOR_IMAGES_IMAGE_HOUSE_H_

#include <set>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "msb/image/v1/image.pb.h"
#include "supervisor/config/config.h"
#include "supervisor/images/catalog.h"
#include "supervisor/images/content_store.h"
#include "supervisor/images/manifest.h"
#include "supervisor/images/staging.h"
#include "supervisor/images/store_space.h"
#include "supervisor/launch/image_jobs.h"
#include "supervisor/threads/worker_pool.h"

namespace msb {

// The folders below staging/, each used by one operation at a time. Thread-safe.
class StagingFolders {
 public:
  StagingFolders(std::string path, KeptPartials kept) : path_(std::move(path)), kept_(kept) {}

  // A folder of this name, or of one made from it while another has that. Let go of by Release.
  absl::StatusOr<Staging> Acquire(const std::string& name, uint32_t uid);
  void Release(const Staging& staging);
  // Deletes what may not stay. Blocks.
  absl::Status Expire();

 private:
  const std::string path_;
  const KeptPartials kept_;
  absl::Mutex mutex_;
  std::set<std::string> busy_ ABSL_GUARDED_BY(mutex_);
};

struct ImageHouse {
  const ImagesConfig& config;
  const ContentStore& content;
  ImageCatalog& catalog;
  ImageJobs& jobs;
  WorkerPool& unpackers;
  StagingFolders& folders;
  StoreSpace& space;
};

// Of manifest, index and configuration: as much as msb-image takes.
inline constexpr size_t kMaxDocumentBytes = 4u << 20;

ManifestLimits ManifestLimitsOf(const ImagesConfig& config);
msb::image::v1::Limits JobLimitsOf(const ImagesConfig& config);

// The job writes no more than there is room for at its start.
void LimitToRoom(const StoreSpace::Share& share, ImageJobRequest& request);

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_IMAGE_HOUSE_H_
