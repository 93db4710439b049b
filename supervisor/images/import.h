// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What pull and load share: blobs come in, layers are built of them, and at the end an image is
// there as a whole. Every document is read from bytes that were hashed here.

#ifndef MSB_SUPERVISOR_IMAGES_IMPORT_H_
#define MSB_SUPERVISOR_IMAGES_IMPORT_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "msb/image/v1/image.pb.h"
#include "msb/v1/image.pb.h"
#include "supervisor/images/image_house.h"
#include "supervisor/images/layer_builds.h"

namespace msb {

// One image on its way. Threading: one thread; `tell` is called on others too.
class Import {
 public:
  using Tell = std::function<void(const msb::v1::PullProgress&)>;

  // All outlive this. `visible`: blobs of the store that whoever imports may see. Another's blob
  // is not taken for one that came: knowing a digest is no right to what it names.
  Import(const ImageHouse& house, const Staging& staging, const Cancellation& cancel,
         std::set<std::string> visible, Tell tell);

  // Checks what the job says of the image: hash, index, form, limits. Once.
  absl::Status TakeManifest(const msb::image::v1::ManifestFound& found);
  bool has_manifest() const { return !digest_.empty(); }
  const std::string& digest() const { return digest_; }
  const ImageManifest& manifest() const { return manifest_; }
  std::vector<std::string> Blobs() const;  // the manifest's own, and all that it names

  // A blob of the manifest that is in the staging folder from now on, or in the store: begins the
  // layers that can be built. OK for a blob that the manifest does not name.
  absl::Status TakeBlob(const std::string& blob);
  // Every blob that the manifest names and that is there already.
  absl::Status TakePresent();
  // Waits for the layers, then makes them and the image's names visible at once.
  absl::StatusOr<msb::v1::Image> Finish(const Caller& caller, std::vector<ImageName> names,
                                        msb::v1::ImageEvent::Kind kind);
  // Why the operation was cancelled, when a layer is why.
  absl::Status failure() const { return builds_.failure(); }

  // Often, while blobs come in. kNoSpace.
  absl::Status FollowDownloads() const { return downloads_.Follow(); }
  void TellPhase(const std::string& blob, msb::v1::PullProgress::Phase phase, uint64_t done,
                 uint64_t total) const;
  bool Has(const std::string& blob) const;

 private:
  absl::Status ReadConfig();
  absl::Status Publish();

  const ImageHouse& house_;
  const Staging& staging_;
  const std::set<std::string> visible_;
  const Tell tell_;
  std::string digest_;
  ImageManifest manifest_;
  std::vector<LayerKey> layers_;  // once the configuration is there
  StoreSpace::Share downloads_;   // what comes of the manifest's blobs
  LayerBuilds builds_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_IMPORT_H_
