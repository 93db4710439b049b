// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One pull, which any number of callers may wait for.

#ifndef MSB_SUPERVISOR_IMAGES_PULL_H_
#define MSB_SUPERVISOR_IMAGES_PULL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "msb/v1/image.pb.h"
#include "supervisor/images/image_house.h"
#include "supervisor/images/import.h"
#include "supervisor/images/reference.h"

namespace msb {

struct PullSpec {
  ImageReference reference;
  int64_t scope = kEverybody;  // whose the image is to be
  Caller caller;               // who asked first
  msb::v1::RegistryCredentials credentials;
  bool plain_http = false;
  bool skip_tls_verification = false;
};

class Pull {
 public:
  // On any thread; they must not block. `done` is the last.
  struct Listener {
    std::function<void(const msb::v1::PullProgress&)> progress;
    std::function<void(const absl::StatusOr<msb::v1::Image>&)> done;
  };

  Pull(const ImageHouse& house, PullSpec spec) : house_(house), spec_(std::move(spec)) {}

  const PullSpec& spec() const { return spec_; }
  // Tells at once what is known so far. nullopt when the pull is over: begin another.
  std::optional<uint64_t> Join(Listener listener);
  // `done` is not called any more, unless it is being called. The last to leave ends the pull.
  void Leave(uint64_t id);
  void Cancel() { cancel_.Cancel(); }

  // Blocks until the pull is over.
  void Run();

 private:
  absl::StatusOr<msb::v1::Image> Fetch();
  absl::StatusOr<msb::v1::Image> FetchInto(const Staging& staging);
  // `known`: digests of the store that the import takes for present, and the job shall.
  absl::Status FollowJob(Import& import, const Staging& staging,
                         const std::vector<std::string>& known);
  absl::Status OnManifest(const msb::image::v1::ManifestFound& found, Import& import);
  absl::StatusOr<msb::image::v1::PullJob> MakeJob(const Staging& staging,
                                                  const std::vector<std::string>& known) const;
  void AddEndpoints(msb::image::v1::PullJob& job, const std::string& ca) const;
  void Tell(const msb::v1::PullProgress& progress);

  const ImageHouse& house_;
  const PullSpec spec_;
  Cancellation cancel_;
  std::string index_digest_;
  std::vector<std::string> blobs_;  // the manifest, and all that it names
  absl::Mutex mutex_;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_listener_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, std::shared_ptr<const Listener>> listeners_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, msb::v1::PullProgress> progress_ ABSL_GUARDED_BY(mutex_);  // by digest
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_PULL_H_
