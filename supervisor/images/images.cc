// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/images.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb {
namespace {

using msb::v1::PullImageRequest;

void SetTime(absl::Time time, google::protobuf::Timestamp& out) {
  const int64_t nanos = absl::ToUnixNanos(time);
  out.set_seconds(nanos / 1'000'000'000);
  out.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

bool HasCredentials(const PullImageRequest& request) {
  return !request.credentials().username().empty() || !request.credentials().password().empty() ||
         !request.credentials().identity_token().empty();
}

// Pulls that may be one.
std::string KeyOf(const PullSpec& spec) {
  return absl::StrCat(spec.scope, "|", spec.reference.Name(), spec.plain_http ? "|http" : "",
                      spec.skip_tls_verification ? "|unverified" : "");
}

void FillSettings(const OciConfig& config, msb::v1::Image& image) {
  if (config.created != absl::UnixEpoch()) SetTime(config.created, *image.mutable_created_at());
  msb::v1::ImageSettings& settings = *image.mutable_settings();
  settings.mutable_env()->insert(config.env.begin(), config.env.end());
  settings.mutable_entrypoint()->Assign(config.entrypoint.begin(), config.entrypoint.end());
  settings.mutable_cmd()->Assign(config.cmd.begin(), config.cmd.end());
  settings.set_user(config.user);
  settings.set_workdir(config.workdir);
  settings.set_stop_signal(config.stop_signal);
  settings.mutable_labels()->insert(config.labels.begin(), config.labels.end());
  settings.set_architecture(config.architecture);
  settings.set_os(config.os);
}

KeptPartials KeptOf(const ImagesConfig& config) {
  return {.age = config.partial_age, .bytes = config.partial_mib * kBytesPerMib};
}

}  // namespace

msb::v1::PullPolicy PolicyOf(const ImagesConfig& config) {
  if (config.pull_policy == "always") return msb::v1::PULL_POLICY_ALWAYS;
  if (config.pull_policy == "never") return msb::v1::PULL_POLICY_NEVER;
  return msb::v1::PULL_POLICY_MISSING;
}

absl::StatusOr<std::unique_ptr<Images>> Images::Open(const Config& config,
                                                     const std::string& directory, ImageJobs& jobs,
                                                     EventRing& events) {
  // Before its files are touched: a job of an earlier life may still write.
  MSB_RETURN_IF_ERROR(jobs.ClearLeftovers());
  MSB_ASSIGN_OR_RETURN(ContentStore opened, ContentStore::Open(directory));
  auto content = std::make_unique<const ContentStore>(std::move(opened));
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<ImageCatalog> catalog,
                       ImageCatalog::Open(*content, config.daemon.assets_directory, events,
                                          config.images.max_names));
  std::unique_ptr<Images> images(new Images(config, std::move(content), std::move(catalog), jobs));
  if (const absl::Status expired = images->folders_.Expire(); !expired.ok()) {
    MSB_LOG(kWarning) << expired.message();
  }
  images->catalog_->Sweep();
  return images;
}

Images::Images(const Config& config, std::unique_ptr<const ContentStore> content,
               std::unique_ptr<ImageCatalog> catalog, ImageJobs& jobs)
    : config_(config),
      content_(std::move(content)),
      catalog_(std::move(catalog)),
      folders_(content_->staging(), KeptOf(config.images)),
      space_(config.images, *content_),
      unpackers_(config.images.parallel_unpacks),
      house_{.config = config.images,
             .content = *content_,
             .catalog = *catalog_,
             .jobs = jobs,
             .unpackers = unpackers_,
             .folders = folders_,
             .space = space_},
      operations_(config.images.parallel_jobs) {}

Images::~Images() {
  EndCalls();
  operations_.Stop();
  unpackers_.Stop();
}

void Images::EndCalls() {
  absl::MutexLock lock(&mutex_);
  ended_ = true;
  for (const auto& [key, pull] : pulls_) pull->Cancel();
}

absl::StatusOr<PullSpec> Images::MakeSpec(const Caller& caller,
                                          const PullImageRequest& request) const {
  if (catalog_->IsBuiltIn(request.image())) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("'", request.image(),
                                  "' is a built-in image and is not pulled; the registry's is ",
                                  request.image(), ":latest"));
  }
  if (IsDigestPrefix(request.image())) {
    return MakeError(Reason::kInvalidArgument,
                     "a digest alone does not say from where: REPOSITORY@sha256:...");
  }
  PullSpec spec{.caller = caller,
                .credentials = request.credentials(),
                .plain_http = request.plain_http(),
                .skip_tls_verification = request.skip_tls_verification()};
  MSB_ASSIGN_OR_RETURN(spec.reference, ParseReference(request.image()));
  // What everybody could fetch so is everybody's. The rest is the caller's: others have not shown
  // that they may read it, or did not choose to trust the way that it came.
  if (HasCredentials(request) || spec.plain_http || spec.skip_tls_verification) {
    spec.scope = caller.uid;
  }
  return spec;
}

absl::StatusOr<PullTicket> Images::StartPull(const Caller& caller, const PullImageRequest& request,
                                             Pull::Listener listener) {
  MSB_ASSIGN_OR_RETURN(PullSpec spec, MakeSpec(caller, request));
  const std::string key = KeyOf(spec);
  absl::MutexLock lock(&mutex_);
  if (ended_) return MakeError(Reason::kDaemonShuttingDown, "the daemon ends");
  if (const auto it = pulls_.find(key); it != pulls_.end()) {
    const std::shared_ptr<Pull> pull = it->second;
    if (const auto id = pull->Join(listener)) return PullTicket(pull, *id);
  }
  const auto pull = std::make_shared<Pull>(house_, std::move(spec));
  const uint64_t id = *pull->Join(std::move(listener));
  pulls_[key] = pull;
  operations_.Run([this, key, pull] {
    pull->Run();
    Forget(key, pull);
  });
  return PullTicket(pull, id);
}

void Images::Forget(const std::string& key, const std::shared_ptr<Pull>& pull) {
  absl::MutexLock lock(&mutex_);
  const auto it = pulls_.find(key);
  if (it != pulls_.end() && it->second == pull) pulls_.erase(it);
}

absl::StatusOr<PullTicket> Images::Provide(const Caller& caller,
                                           const msb::v1::CreateRequest& request,
                                           std::function<void(absl::Status)> done) {
  const std::string& wanted = request.spec().image();
  const std::string& image = wanted.empty() ? config_.sandbox.image : wanted;
  const msb::v1::PullPolicy policy = request.pull() == msb::v1::PULL_POLICY_UNSPECIFIED
                                         ? PolicyOf(config_.images)
                                         : request.pull();
  const absl::Status there = catalog_->Resolve(caller, image).status();
  // What cannot be pulled: the sandbox's making says what is wrong with it.
  const bool never =
      policy == msb::v1::PULL_POLICY_NEVER || IsDigestPrefix(image) || catalog_->IsBuiltIn(image);
  if (never || (there.ok() && policy != msb::v1::PULL_POLICY_ALWAYS) ||
      (!there.ok() && ReasonOf(there) != Reason::kImageNotFound)) {
    done(absl::OkStatus());
    return PullTicket();
  }
  PullImageRequest pull;
  pull.set_image(image);
  *pull.mutable_credentials() = request.credentials();
  return StartPull(
      caller, pull,
      {.progress = [](const msb::v1::PullProgress&) {},
       .done = [done = std::move(done)](
                   const absl::StatusOr<msb::v1::Image>& pulled) { done(pulled.status()); }});
}

absl::StatusOr<msb::v1::LoadImageResponse> Images::Load(const LoadSpec& spec,
                                                        const Cancellation& cancel,
                                                        ArchiveSource& source) {
  return LoadImages(house_, spec, cancel, source);
}

absl::Status Images::Save(const Caller& caller, const std::vector<std::string>& images,
                          const Cancellation& cancel, const ArchiveSink& sink) {
  return SaveImages(house_, caller, images, cancel, sink);
}

absl::StatusOr<ImageConfig> Images::ConfigOf(const std::string& name,
                                             const std::string& digest) const {
  if (digest.empty()) return LoadImage(config_.daemon.assets_directory, name);
  MSB_ASSIGN_OR_RETURN(const ImageRecord record, catalog_->Record(digest));
  MSB_ASSIGN_OR_RETURN(const std::string json,
                       content_->ReadBlob(record.config_digest, kMaxDocumentBytes));
  MSB_ASSIGN_OR_RETURN(OciConfig oci, ParseOciConfig(json, ManifestLimitsOf(config_.images)));
  ImageConfig config;
  config.name = name;
  config.digest = digest;
  config.env = std::move(oci.env);
  config.entrypoint = std::move(oci.entrypoint);
  config.cmd = std::move(oci.cmd);
  config.user = std::move(oci.user);
  config.workdir = std::move(oci.workdir);
  MSB_ASSIGN_OR_RETURN(config.stop_signal, ParseStopSignal(oci.stop_signal));
  // As Docker takes a relative one.
  if (!config.workdir.empty() && config.workdir[0] != '/') {
    config.workdir = absl::StrCat("/", config.workdir);
  }
  for (const ImageLayerRecord& layer : record.layers) {
    config.layers.push_back(content_->LayerPath({layer.diff_id, layer.blob_digest}));
    config.size_bytes += layer.bytes;
  }
  return config;
}

absl::StatusOr<msb::v1::Image> Images::Inspect(const Caller& caller, absl::string_view text) const {
  MSB_ASSIGN_OR_RETURN(msb::v1::Image image, catalog_->Get(caller, text));
  if (image.built_in()) return image;
  MSB_ASSIGN_OR_RETURN(const std::string json,
                       content_->ReadBlob(image.config_digest(), kMaxDocumentBytes));
  MSB_ASSIGN_OR_RETURN(const OciConfig config,
                       ParseOciConfig(json, ManifestLimitsOf(config_.images)));
  FillSettings(config, image);
  return image;
}

}  // namespace msb
