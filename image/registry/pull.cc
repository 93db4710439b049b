// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/pull.h"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/blob/blob_directory.h"
#include "image/manifest/manifest.h"
#include "image/registry/blob_fetcher.h"
#include "image/registry/pull_spec.h"
#include "image/registry/registry_client.h"
#include "image/registry/retry.h"

namespace msb::image {
namespace {

// What a reference has led to.
struct Resolved {
  size_t endpoint = 0;
  FetchedManifest document;  // the image's manifest
  Manifest manifest;
  std::optional<FetchedManifest> index;  // that names it, when there was one
};

absl::StatusOr<FetchedManifest> FetchPatiently(RegistryClient& client, const std::string& reference,
                                               const Limits& limits,
                                               const Cancellation& cancellation) {
  for (uint64_t attempt = 1;; ++attempt) {
    absl::StatusOr<FetchedManifest> manifest = client.FetchManifest(reference);
    if (manifest.ok()) return manifest;
    const std::optional<absl::Duration> delay = RetryDelay(manifest.status(), attempt);
    if (!delay.has_value() || attempt >= limits.max_attempts || !cancellation.WaitFor(*delay)) {
      return manifest;
    }
  }
}

// By way of an index, if that is what the reference names, to the manifest for the platform.
absl::StatusOr<Resolved> Resolve(RegistryClient& client, const PullSpec& spec, const Limits& limits,
                                 const Cancellation& cancellation) {
  std::string reference = spec.reference;
  std::optional<FetchedManifest> index;
  while (true) {
    MSB_ASSIGN_OR_RETURN(FetchedManifest document,
                         FetchPatiently(client, reference, limits, cancellation));
    MSB_ASSIGN_OR_RETURN(auto parsed, ParseManifest(document.bytes, document.media_type, limits));
    if (auto* manifest = std::get_if<Manifest>(&parsed); manifest != nullptr) {
      return Resolved{.document = std::move(document),
                      .manifest = std::move(*manifest),
                      .index = std::move(index)};
    }
    if (index.has_value()) return IndexInIndex();
    MSB_ASSIGN_OR_RETURN(const IndexEntry entry,
                         ChoosePlatform(std::get<Index>(parsed), spec.platform));
    reference = entry.descriptor.digest.text();
    index = std::move(document);
  }
}

// Asks one endpoint after the other. The error is the last one's, which is the registry itself.
absl::StatusOr<Resolved> ResolveAnywhere(Endpoints& endpoints, const PullSpec& spec,
                                         const Limits& limits, const Cancellation& cancellation) {
  absl::Status last = MakeError(Reason::kInvalidArgument, "the job names no endpoint");
  for (size_t i = 0; i < endpoints.size(); ++i) {
    RegistryClient client(*endpoints[i], limits, cancellation);
    absl::StatusOr<Resolved> resolved = Resolve(client, spec, limits, cancellation);
    if (resolved.ok()) {
      resolved->endpoint = i;
      return resolved;
    }
    last = resolved.status();
    if (i + 1 < endpoints.size()) {
      MSB_LOG(kInfo) << "trying the next endpoint: " << EscapeForLog(last.message());
    }
  }
  return last;
}

absl::Status SendManifest(const Resolved& resolved, EventChannel& channel) {
  v1::JobEvent event;
  v1::ManifestFound& found = *event.mutable_manifest();
  found.set_manifest(resolved.document.bytes);
  found.set_media_type(resolved.manifest.media_type);
  found.set_digest(resolved.index.has_value() ? resolved.index->digest.text()
                                              : resolved.document.digest.text());
  if (resolved.index.has_value()) found.set_index(resolved.index->bytes);
  return channel.Send(event);
}

// Each blob once, however often the manifest names it.
std::vector<Descriptor> LayersOf(const Manifest& manifest) {
  std::vector<Descriptor> layers;
  std::set<Digest> seen;
  for (const Descriptor& layer : manifest.layers) {
    if (seen.insert(layer.digest).second) layers.push_back(layer);
  }
  return layers;
}

}  // namespace

absl::StatusOr<v1::JobDone> PullImage(const v1::PullJob& job, const Limits& limits,
                                      EventChannel& channel) {
  BlobDirectory directory{UniqueFd(job.blob_directory_fd())};
  MSB_ASSIGN_OR_RETURN(const PullSpec spec, CheckPullJob(job));
  MSB_ASSIGN_OR_RETURN(Endpoints endpoints, MakeEndpoints(job));
  Cancellation cancellation;
  MSB_ASSIGN_OR_RETURN(const Resolved resolved,
                       ResolveAnywhere(endpoints, spec, limits, cancellation));
  MSB_RETURN_IF_ERROR(SendManifest(resolved, channel));
  BlobFetcher fetcher(endpoints, resolved.endpoint, spec.present, directory, limits, channel,
                      cancellation);
  // The configuration first: it is small, and says whether the layers are worth it.
  const Descriptor& config = resolved.manifest.config;
  MSB_ASSIGN_OR_RETURN(const std::optional<std::string> text, fetcher.FetchDocument(config));
  if (text.has_value()) {
    MSB_RETURN_IF_ERROR(CheckConfig(*text, resolved.manifest, spec.platform));
    MSB_RETURN_IF_ERROR(fetcher.Announce(config.digest));
  }
  MSB_RETURN_IF_ERROR(fetcher.FetchAll(LayersOf(resolved.manifest)));
  v1::JobDone done;
  done.set_bytes(fetcher.fetched_bytes());
  return done;
}

}  // namespace msb::image
