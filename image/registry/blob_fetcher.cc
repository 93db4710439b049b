// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/blob_fetcher.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/registry/blob_download.h"
#include "image/registry/retry.h"

namespace msb::image {
namespace {

// An attempt that brings this much is none that has failed: a large layer may break off often.
constexpr uint64_t kWorthwhileBytes = 8 * kMiB;
constexpr absl::Duration kLockInterval = absl::Milliseconds(200);

}  // namespace

BlobFetcher::BlobFetcher(Endpoints& endpoints, size_t first, const std::set<Digest>& present,
                         const BlobDirectory& directory, const Limits& limits,
                         EventChannel& channel, Cancellation& cancellation)
    : endpoints_(endpoints),
      first_(first),
      present_(present),
      directory_(directory),
      limits_(limits),
      channel_(channel),
      cancellation_(cancellation) {}

absl::Status BlobFetcher::FetchAll(const std::vector<Descriptor>& blobs) {
  next_ = 0;
  std::vector<std::thread> threads;
  const size_t count = std::min<size_t>(blobs.size(), limits_.max_parallel_downloads);
  threads.reserve(count);
  for (size_t i = 0; i < count; ++i) threads.emplace_back([&] { RunThread(blobs); });
  for (std::thread& thread : threads) thread.join();
  const absl::MutexLock lock(&mutex_);
  return first_error_;
}

absl::StatusOr<std::optional<std::string>> BlobFetcher::FetchDocument(const Descriptor& blob) {
  if (present_.contains(blob.digest)) return std::nullopt;
  Clients clients = MakeClients();
  MSB_RETURN_IF_ERROR(Fetch(blob, clients));
  return directory_.Read(blob.digest, limits_.max_manifest_bytes);
}

BlobFetcher::Clients BlobFetcher::MakeClients() {
  Clients clients;
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    RegistryEndpoint& endpoint = *endpoints_[(first_ + i) % endpoints_.size()];
    clients.push_back(std::make_unique<RegistryClient>(endpoint, limits_, cancellation_));
  }
  return clients;
}

void BlobFetcher::RunThread(const std::vector<Descriptor>& blobs) {
  Clients clients = MakeClients();
  while (true) {
    const size_t mine = next_++;
    if (mine >= blobs.size() || cancellation_.cancelled()) return;
    const Descriptor& blob = blobs[mine];
    if (present_.contains(blob.digest)) continue;
    absl::Status status = Fetch(blob, clients);
    if (status.ok()) status = Announce(blob.digest);
    if (status.ok()) continue;
    const absl::MutexLock lock(&mutex_);
    // The others end because of the first; their errors say nothing.
    if (first_error_.ok()) first_error_ = status;
    cancellation_.Cancel();
    return;
  }
}

absl::Status BlobFetcher::Fetch(const Descriptor& blob, Clients& clients) {
  MSB_ASSIGN_OR_RETURN(const bool whole, directory_.Has(blob.digest));
  if (whole) return absl::OkStatus();
  absl::Status status;
  for (const std::unique_ptr<RegistryClient>& client : clients) {
    status = FetchFrom(*client, blob);
    if (status.ok() || cancellation_.cancelled()) return status;
    MSB_LOG(kInfo) << client->name() << ": " << EscapeForLog(status.message());
  }
  return status;
}

absl::Status BlobFetcher::FetchFrom(RegistryClient& client, const Descriptor& blob) {
  uint64_t attempt = 0;
  // The farthest that an attempt has come. A server that has us begin again and again comes no
  // farther.
  uint64_t farthest = 0;
  while (true) {
    MSB_ASSIGN_OR_RETURN(std::optional<PartialBlob> part, Continue(blob.digest));
    if (!part.has_value()) return absl::OkStatus();
    farthest = std::max(farthest, part->size());
    const absl::Status status = TryOnce(client, blob, *part);
    if (status.ok()) return status;
    if (part->size() >= farthest + kWorthwhileBytes) attempt = 0;
    ++attempt;
    const std::optional<absl::Duration> delay = RetryDelay(status, attempt);
    if (!delay.has_value() || attempt >= limits_.max_attempts) return status;
    part.reset();
    if (!cancellation_.WaitFor(*delay)) return absl::CancelledError("cancelled");
  }
}

absl::Status BlobFetcher::TryOnce(RegistryClient& client, const Descriptor& blob,
                                  PartialBlob& part) {
  const bool resumed = part.size() > 0;
  uint64_t counted = part.size();
  MSB_RETURN_IF_ERROR(DownloadBlob(client, blob, part, [&] {
    // A restart makes it smaller; what came before was fetched all the same.
    fetched_bytes_ += part.size() - std::min(counted, part.size());
    counted = part.size();
    channel_.Progress(blob.digest.text(), part.size(), blob.size);
  }));
  const absl::Status finished = part.Finish();
  // The beginning may have been another job's, or another server's.
  const bool again = resumed && ReasonOf(finished) == Reason::kImageDigestMismatch;
  return again ? Transient(finished) : finished;
}

absl::StatusOr<std::optional<PartialBlob>> BlobFetcher::Continue(const Digest& digest) {
  while (true) {
    absl::StatusOr<PartialBlob> part = directory_.Continue(digest);
    if (part.ok()) return *std::move(part);
    if (!absl::IsUnavailable(part.status()) || ReasonOf(part.status()) != Reason::kUnspecified) {
      return part.status();
    }
    // Nothing tells when a lock of another process is free.
    if (!cancellation_.WaitFor(kLockInterval)) return absl::CancelledError("cancelled");
    MSB_ASSIGN_OR_RETURN(const bool whole, directory_.Has(digest));
    if (whole) return std::nullopt;
  }
}

absl::Status BlobFetcher::Announce(const Digest& digest) {
  v1::JobEvent event;
  event.set_blob_done(digest.text());
  return channel_.Send(event);
}

}  // namespace msb::image
