// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// All images of the daemon. Read docs/images.md for what the rules are and why.

#ifndef MSB_SUPERVISOR_IMAGES_IMAGES_H_
#define MSB_SUPERVISOR_IMAGES_IMAGES_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "msb/v1/image.pb.h"
#include "msb/v1/sandbox.pb.h"
#include "supervisor/images/archives.h"
#include "supervisor/images/image_house.h"
#include "supervisor/images/pull.h"
#include "supervisor/sandbox/image_config.h"

namespace msb {

// A pull that somebody waits for; letting go of it leaves. Empty: nothing had to be pulled.
class PullTicket {
 public:
  PullTicket() = default;
  PullTicket(std::shared_ptr<Pull> pull, uint64_t id) : pull_(std::move(pull)), id_(id) {}
  PullTicket(PullTicket&& other) noexcept = default;
  PullTicket& operator=(PullTicket&& other) noexcept {
    std::swap(pull_, other.pull_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~PullTicket() {
    if (pull_ != nullptr) pull_->Leave(id_);
  }

 private:
  std::shared_ptr<Pull> pull_;
  uint64_t id_ = 0;
};

// That of the configuration.
msb::v1::PullPolicy PolicyOf(const ImagesConfig& config);

// Thread-safe.
class Images {
 public:
  // Clears up what an earlier life of the daemon left. `config`, `jobs`, `events` outlive it.
  static absl::StatusOr<std::unique_ptr<Images>> Open(const Config& config,
                                                      const std::string& directory, ImageJobs& jobs,
                                                      EventRing& events);
  // Ends what runs.
  ~Images();
  Images(const Images&) = delete;
  Images& operator=(const Images&) = delete;

  ImageCatalog& catalog() { return *catalog_; }
  const ContentStore& content() const { return *content_; }

  // Joins the pull of this image, or begins it. kInvalidArgument.
  absl::StatusOr<PullTicket> StartPull(const Caller& caller,
                                       const msb::v1::PullImageRequest& request,
                                       Pull::Listener listener);
  // Pulls what a new sandbox needs and `policy` asks for. `done` with OK when there is nothing to
  // pull or it is there now, perhaps before the return.
  absl::StatusOr<PullTicket> Provide(const Caller& caller, const msb::v1::CreateRequest& request,
                                     std::function<void(absl::Status)> done);

  // Run `work` on a thread that may block for long, when its turn comes.
  void Run(std::function<void()> work) { operations_.Run(std::move(work)); }
  absl::StatusOr<msb::v1::LoadImageResponse> Load(const LoadSpec& spec, const Cancellation& cancel,
                                                  ArchiveSource& source);
  absl::Status Save(const Caller& caller, const std::vector<std::string>& images,
                    const Cancellation& cancel, const ArchiveSink& sink);

  // What commands in a sandbox of the image start with, and its files. Blocks.
  absl::StatusOr<ImageConfig> ConfigOf(const std::string& name, const std::string& digest) const;
  // With the settings.
  absl::StatusOr<msb::v1::Image> Inspect(const Caller& caller, absl::string_view text) const;

  // Ends all pulls; there are no more.
  void EndCalls();

 private:
  Images(const Config& config, std::unique_ptr<const ContentStore> content,
         std::unique_ptr<ImageCatalog> catalog, ImageJobs& jobs);
  absl::StatusOr<PullSpec> MakeSpec(const Caller& caller,
                                    const msb::v1::PullImageRequest& request) const;
  void Forget(const std::string& key, const std::shared_ptr<Pull>& pull);

  const Config& config_;
  const std::unique_ptr<const ContentStore> content_;
  const std::unique_ptr<ImageCatalog> catalog_;
  StagingFolders folders_;
  StoreSpace space_;
  absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::shared_ptr<Pull>> pulls_ ABSL_GUARDED_BY(mutex_);
  WorkerPool unpackers_;
  const ImageHouse house_;
  WorkerPool operations_;  // first to end
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_IMAGES_H_
