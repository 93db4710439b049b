// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Blobs in parallel: several threads, each with connections of its own.

#ifndef MSB_IMAGE_REGISTRY_BLOB_FETCHER_H_
#define MSB_IMAGE_REGISTRY_BLOB_FETCHER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "image/blob/blob_directory.h"
#include "image/job/event_channel.h"
#include "image/limits.h"
#include "image/manifest/manifest.h"
#include "image/registry/cancellation.h"
#include "image/registry/pull_spec.h"
#include "image/registry/registry_client.h"

namespace msb::image {

class BlobFetcher {
 public:
  // Asks endpoint number `first` before the others. All that is referred to outlives the fetcher.
  BlobFetcher(Endpoints& endpoints, size_t first, const std::set<Digest>& present,
              const BlobDirectory& directory, const Limits& limits, EventChannel& channel,
              Cancellation& cancellation);

  // Returns when all are in the directory and have been announced or, with the first error, when
  // all threads have ended; after an error the fetcher is of no further use.
  absl::Status FetchAll(const std::vector<Descriptor>& blobs);

  // One small blob, on the caller's thread, and its bytes. Nullopt when the daemon has it.
  // Announced by Announce alone: the daemon may take away what it has been told of.
  absl::StatusOr<std::optional<std::string>> FetchDocument(const Descriptor& blob);
  absl::Status Announce(const Digest& digest);

  // Over the network, in all.
  uint64_t fetched_bytes() const { return fetched_bytes_; }

 private:
  using Clients = std::vector<std::unique_ptr<RegistryClient>>;

  Clients MakeClients();
  void RunThread(const std::vector<Descriptor>& blobs);
  absl::Status Fetch(const Descriptor& blob, Clients& clients);
  absl::Status FetchFrom(RegistryClient& client, const Descriptor& blob);
  absl::Status TryOnce(RegistryClient& client, const Descriptor& blob, PartialBlob& part);
  // Waits for as long as another job writes this blob; nullopt when that one has finished it.
  absl::StatusOr<std::optional<PartialBlob>> Continue(const Digest& digest);

  Endpoints& endpoints_;
  const size_t first_;
  const std::set<Digest>& present_;
  const BlobDirectory& directory_;
  const Limits limits_;
  EventChannel& channel_;
  Cancellation& cancellation_;
  std::atomic<uint64_t> fetched_bytes_ = 0;
  std::atomic<size_t> next_ = 0;
  absl::Mutex mutex_;
  absl::Status first_error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_BLOB_FETCHER_H_
