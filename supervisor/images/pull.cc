// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/pull.h"

#include <algorithm>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "supervisor/images/digest.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/store/ids.h"

namespace msb {
namespace {

using msb::image::v1::JobEvent;
using msb::v1::PullProgress;

constexpr int kBlobDirectoryFd = kFirstImageJobFd;
// Digests that a job is told of: more would not fit its frame, and nothing is wrong when one is
// fetched once more.
constexpr size_t kMaxPresent = 8192;
// docker.io is a name; this is the host that serves it.
constexpr absl::string_view kDockerHubHost = "registry-1.docker.io";
constexpr size_t kPullKeyBytes = 32;
#if defined(__x86_64__)
constexpr char kArchitecture[] = "amd64";
#elif defined(__aarch64__)
constexpr char kArchitecture[] = "arm64";
#endif

bool Contains(const std::vector<std::string>& list, absl::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// What a broken pull left is of use to the same users alone, for the same repository.
std::string StagingName(const PullSpec& spec) {
  const std::string key =
      absl::StrCat(spec.scope, "|", spec.reference.registry, "|", spec.reference.repository);
  return absl::StrCat(kPullPrefix, HexOf(Sha256(key)).substr(0, kPullKeyBytes));
}

// Nothing that came of the image is of use: the next attempt begins anew, and ends as this one as
// long as the image and the limits are what they are. That the store is full may be over by then.
bool IsSpoilt(const absl::Status& status) {
  const Reason reason = ReasonOf(status);
  return reason == Reason::kImageDigestMismatch || reason == Reason::kImageInvalid ||
         reason == Reason::kImageTooLarge || reason == Reason::kImageUnsupported;
}

bool Names(const ImageManifest& manifest, absl::string_view blob) {
  return manifest.config.digest == blob ||
         std::any_of(manifest.layers.begin(), manifest.layers.end(),
                     [&](const BlobDescriptor& layer) { return layer.digest == blob; });
}

}  // namespace

std::optional<uint64_t> Pull::Join(Listener listener) {
  absl::MutexLock lock(&mutex_);
  if (over_ || cancel_.cancelled()) return std::nullopt;
  for (const auto& [digest, progress] : progress_) listener.progress(progress);
  const uint64_t id = next_listener_++;
  listeners_[id] = std::make_shared<const Listener>(std::move(listener));
  return id;
}

void Pull::Leave(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  if (listeners_.erase(id) > 0 && listeners_.empty()) cancel_.Cancel();
}

void Pull::Tell(const PullProgress& progress) {
  std::vector<std::shared_ptr<const Listener>> listeners;
  {
    absl::MutexLock lock(&mutex_);
    PullProgress& known = progress_[progress.digest()];
    const uint64_t total = std::max(known.total_bytes(), progress.total_bytes());
    known = progress;
    known.set_total_bytes(total);
    for (const auto& [id, listener] : listeners_) listeners.push_back(listener);
  }
  for (const auto& listener : listeners) listener->progress(progress);
}

void Pull::Run() {
  const absl::StatusOr<msb::v1::Image> image = Fetch();
  std::map<uint64_t, std::shared_ptr<const Listener>> listeners;
  {
    absl::MutexLock lock(&mutex_);
    over_ = true;
    listeners.swap(listeners_);
  }
  for (const auto& [id, listener] : listeners) listener->done(image);
}

absl::StatusOr<msb::v1::Image> Pull::Fetch() {
  if (cancel_.cancelled()) return absl::CancelledError("nobody waits for the pull any more");
  const ImageCatalog::Operation operation(house_.catalog);
  MSB_ASSIGN_OR_RETURN(const Staging staging,
                       house_.folders.Acquire(StagingName(spec_), house_.jobs.uid()));
  absl::StatusOr<msb::v1::Image> image = FetchInto(staging);
  // Whatever else the folder has is of pulls of the repository that broke off.
  if (image.ok() || IsSpoilt(image.status())) staging.Drop(blobs_);
  if (staging.IsEmpty()) {
    if (const absl::Status removed = staging.Remove(); !removed.ok()) {
      MSB_LOG(kWarning) << removed.message();
    }
  }
  if (!image.ok()) house_.catalog.Sweep();
  house_.folders.Release(staging);
  if (const absl::Status expired = house_.folders.Expire(); !expired.ok()) {
    MSB_LOG(kWarning) << expired.message();
  }
  return image;
}

absl::StatusOr<msb::v1::Image> Pull::FetchInto(const Staging& staging) {
  const std::vector<std::string> known = house_.catalog.BlobsOf(spec_.scope, kMaxPresent);
  Import import(house_, staging, cancel_, std::set<std::string>(known.begin(), known.end()),
                [this](const PullProgress& progress) { Tell(progress); });
  if (absl::Status followed = FollowJob(import, staging, known); !followed.ok()) {
    const absl::Status failure = import.failure();
    return failure.ok() ? followed : failure;
  }
  if (!import.has_manifest()) {
    return MakeError(Reason::kImageJobFailed, "msb-image ended without a manifest");
  }
  return import.Finish(
      spec_.caller,
      {{.scope = spec_.scope, .name = spec_.reference.Name(), .index_digest = index_digest_}},
      msb::v1::ImageEvent::KIND_PULLED);
}

absl::StatusOr<msb::image::v1::PullJob> Pull::MakeJob(const Staging& staging,
                                                      const std::vector<std::string>& known) const {
  msb::image::v1::PullJob job;
  job.set_registry(spec_.reference.registry);
  job.set_repository(spec_.reference.repository);
  job.set_reference(spec_.reference.Wanted());
  job.set_architecture(kArchitecture);
  job.set_os("linux");
  job.set_blob_directory_fd(kBlobDirectoryFd);
  for (const std::string& digest : known) job.add_present(digest);
  for (const std::string& digest : staging.Blobs()) job.add_present(digest);
  job.mutable_credentials()->set_username(spec_.credentials.username());
  job.mutable_credentials()->set_password(spec_.credentials.password());
  job.mutable_credentials()->set_identity_token(spec_.credentials.identity_token());
  std::string ca;
  if (!house_.config.ca_file.empty()) {
    const auto text = ReadHostFile(house_.config.ca_file);
    if (!text.ok()) return WithReason(Reason::kConfigInvalid, "images.ca_file", text.status());
    ca = *text;
  }
  AddEndpoints(job, ca);
  return job;
}

void Pull::AddEndpoints(msb::image::v1::PullJob& job, const std::string& ca) const {
  const std::string& registry = spec_.reference.registry;
  const auto add = [&](absl::string_view host) {
    msb::image::v1::Endpoint& endpoint = *job.add_endpoints();
    endpoint.set_host(std::string(host));
    endpoint.set_plain_http(Contains(house_.config.plain_http, host));
    endpoint.set_skip_tls_verification(Contains(house_.config.skip_tls_verification, host));
    endpoint.set_extra_ca_pem(ca);
    return &endpoint;
  };
  for (const std::string& mirror : house_.config.mirrors) {
    absl::string_view host = mirror;
    if (absl::ConsumePrefix(&host, absl::StrCat(registry, "="))) add(host);
  }
  msb::image::v1::Endpoint* own = add(registry == kDockerHub ? kDockerHubHost : registry);
  own->set_plain_http(own->plain_http() || spec_.plain_http ||
                      Contains(house_.config.plain_http, registry));
  own->set_skip_tls_verification(own->skip_tls_verification() || spec_.skip_tls_verification ||
                                 Contains(house_.config.skip_tls_verification, registry));
  own->set_send_credentials(true);
}

absl::Status Pull::FollowJob(Import& import, const Staging& staging,
                             const std::vector<std::string>& known) {
  ImageJobRequest request;
  request.spec.set_id(NewId());
  MSB_ASSIGN_OR_RETURN(*request.spec.mutable_pull(), MakeJob(staging, known));
  *request.spec.mutable_limits() = JobLimitsOf(house_.config);
  MSB_ASSIGN_OR_RETURN(const UniqueFd folder, staging.OpenForJob());
  request.fds = {{kBlobDirectoryFd, folder.get()}};
  request.network = ImageJobNetwork::kHost;
  request.max_file_bytes = house_.config.max_blob_mib * kBytesPerMib;
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<ImageJob> job, house_.jobs.Start(request, cancel_));
  while (true) {
    MSB_ASSIGN_OR_RETURN(const JobEvent event, job->Next());
    MSB_RETURN_IF_ERROR(import.FollowDownloads());
    if (event.has_manifest()) {
      MSB_RETURN_IF_ERROR(OnManifest(event.manifest(), import));
    } else if (event.has_progress() && Names(import.manifest(), event.progress().what())) {
      import.TellPhase(event.progress().what(), PullProgress::PHASE_DOWNLOADING,
                       event.progress().done_bytes(), event.progress().total_bytes());
    } else if (!event.blob_done().empty()) {
      const std::string& blob = event.blob_done();
      if (!Names(import.manifest(), blob)) {
        return MakeError(Reason::kImageJobFailed, "msb-image sent a blob that nobody asked for");
      }
      MSB_RETURN_IF_ERROR(staging.TakeBlob(blob, request.max_file_bytes));
      MSB_RETURN_IF_ERROR(import.TakeBlob(blob));
    } else if (event.has_done()) {
      return absl::OkStatus();
    }
  }
}

absl::Status Pull::OnManifest(const msb::image::v1::ManifestFound& found, Import& import) {
  MSB_RETURN_IF_ERROR(import.TakeManifest(found));
  blobs_ = import.Blobs();
  if (!found.index().empty()) index_digest_ = Sha256(found.index());
  const std::string& wanted = spec_.reference.digest;
  if (!wanted.empty() && wanted != import.digest() && wanted != index_digest_) {
    return MakeError(Reason::kImageDigestMismatch,
                     absl::StrCat("the registry answered ", wanted, " with ", import.digest()));
  }
  return import.TakePresent();
}

}  // namespace msb
