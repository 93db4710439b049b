// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Makes the layers of one pull or load, as soon as their blobs are there, beside each other.

#ifndef MSB_SUPERVISOR_IMAGES_LAYER_BUILDS_H_
#define MSB_SUPERVISOR_IMAGES_LAYER_BUILDS_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/error.h"
#include "supervisor/images/image_house.h"

namespace msb {

// Thread-safe. The first failure cancels the operation. Layers that are made at the same time do
// not see each other's bytes until they are done, as far as the image's limit goes: they may pass
// it by what one has left for each, and then fail.
class LayerBuilds {
 public:
  // Of one layer, by its blob, on any thread: bytes of the blob that have been read; done.
  struct Observer {
    std::function<void(const std::string& blob, uint64_t done, uint64_t total)> progress;
    std::function<void(const std::string& blob)> done;
  };

  // All outlive this.
  LayerBuilds(const ImageHouse& house, const Staging& staging, const Cancellation& cancel,
              Observer observer)
      : house_(house), staging_(staging), cancel_(cancel), observer_(std::move(observer)) {}
  // Waits for all that has begun.
  ~LayerBuilds();
  LayerBuilds(const LayerBuilds&) = delete;
  LayerBuilds& operator=(const LayerBuilds&) = delete;

  // The blob is in the staging folder or in the store. Once for each key; nothing when the layer is
  // there already.
  void Begin(const LayerKey& key);
  // The first failure of all.
  absl::Status Wait();
  // The failure so far.
  absl::Status failure() const;

 private:
  void Run(const LayerKey& key);
  absl::Status Build(const LayerKey& key);
  uint64_t RoomInImage() const;  // beside its other layers
  absl::Status RunJob(const LayerKey& key, int tar_fd, int erofs_fd,
                      const StoreSpace::Share& share);
  absl::Status CountLayer(int erofs_fd);
  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; }

  const ImageHouse& house_;
  const Staging& staging_;
  const Cancellation& cancel_;
  const Observer observer_;
  mutable absl::Mutex mutex_;
  std::set<LayerKey> begun_ ABSL_GUARDED_BY(mutex_);
  uint64_t built_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_LAYER_BUILDS_H_
