// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Which images there are, what they are called, who sees them and who needs them
// (docs/images.md has the rules).
//
// Files are deleted while no operation (a pull, load or save) runs: an operation may rely on what
// it has found.

#ifndef MSB_SUPERVISOR_IMAGES_CATALOG_H_
#define MSB_SUPERVISOR_IMAGES_CATALOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "msb/v1/image.pb.h"
#include "msb/v1/system.pb.h"
#include "supervisor/events/event_ring.h"
#include "supervisor/images/content_store.h"
#include "supervisor/sandbox/caller.h"
#include "supervisor/store/image_index.h"

namespace msb {

// A sandbox that is made of an image.
struct ImageUser {
  std::string sandbox;  // name
  uint32_t owner_uid = 0;
};

// Thread-safe. What a method does under the lock takes microseconds, or a transaction of SQLite.
class ImageCatalog {
 public:
  // `content`, `events` outlive the catalog. `max_names`: that one user may have.
  static absl::StatusOr<std::unique_ptr<ImageCatalog>> Open(const ContentStore& content,
                                                            std::string assets_directory,
                                                            EventRing& events, size_t max_names);

  // What `text` means to `caller`. The digest of a built-in image is empty.
  struct Resolved {
    std::string name;  // to show, and to keep in a sandbox
    std::string digest;
  };
  // kImageNotFound, kInvalidArgument.
  absl::StatusOr<Resolved> Resolve(const Caller& caller, absl::string_view text) const;
  bool IsBuiltIn(absl::string_view text) const;
  // kInvalidArgument for a name that a built-in image has for itself.
  absl::Status CheckNewName(absl::string_view text) const;
  absl::StatusOr<ImageRecord> Record(absl::string_view digest) const;

  // Digests of all blobs of images that whoever shares `scope` sees, at most `max`.
  std::vector<std::string> BlobsOf(int64_t scope, size_t max) const;

  // Keeps the image for a sandbox, by its id; nothing for an empty digest. kImageNotFound.
  absl::Status Pin(const std::string& sandbox_id, const ImageUser& user, const std::string& digest);
  void Unpin(const std::string& sandbox_id);

  // Settings are left out of a list, and of an image's names all but the one that is shown.
  msb::v1::ListImagesResponse List(const Caller& caller) const;
  absl::StatusOr<msb::v1::Image> Get(const Caller& caller, absl::string_view text) const;

  // kImageInUse, kPermissionDenied. Blocks as long as deleting takes.
  absl::StatusOr<msb::v1::RemoveImageResponse> Remove(const Caller& caller, absl::string_view text);
  absl::StatusOr<msb::v1::Image> Tag(const Caller& caller, absl::string_view text,
                                     absl::string_view name);
  absl::StatusOr<msb::v1::PruneImagesResponse> Prune(const Caller& caller, bool all);

  // While one of these lives no file is deleted.
  class Operation {
   public:
    explicit Operation(ImageCatalog& catalog) : catalog_(catalog) { catalog_.BeginOperation(); }
    ~Operation() { catalog_.EndOperation(); }
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

   private:
    ImageCatalog& catalog_;
  };
  // The files are in their places and durable. A name that is there already keeps its owner.
  // kLimitExceeded when the caller would have too many.
  absl::StatusOr<msb::v1::Image> Add(const Caller& caller, const ImageRecord& image,
                                     std::vector<ImageName> names, msb::v1::ImageEvent::Kind kind);

  // Deletes files that no row speaks of: now, or behind the last operation that runs. Blocks.
  void Sweep();

 private:
  using NameKey = std::pair<int64_t, std::string>;
  struct Pinned {
    ImageUser user;
    std::string digest;
  };
  struct Found {
    const ImageRecord* image = nullptr;
    const ImageName* name = nullptr;  // that led to it, if one did
  };
  // What a caller sees of all images, gathered in one pass: a list of n images costs no n passes.
  struct Sight {
    std::set<absl::string_view> images;                                // digests
    std::map<absl::string_view, std::vector<const ImageName*>> names;  // by the image's digest
    std::map<absl::string_view, std::vector<const Pinned*>> users;     // everybody's
    std::map<LayerKey, uint32_t> sharers;  // how many of the images that the caller sees
  };

  ImageCatalog(const ContentStore& content, std::string assets_directory, EventRing& events,
               size_t max_names, ImageIndex index)
      : content_(content),
        assets_directory_(std::move(assets_directory)),
        events_(events),
        max_names_(max_names),
        index_(std::move(index)) {}

  void BeginOperation();
  void EndOperation();
  absl::StatusOr<msb::v1::Image> AddLocked(const Caller& caller, const ImageRecord& image,
                                           std::vector<ImageName> names,
                                           msb::v1::ImageEvent::Kind kind)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SeesLocked(const Caller& caller, const ImageName& name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SeesImageLocked(const Caller& caller, const std::string& digest) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Found> FindLocked(const Caller& caller, absl::string_view text) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Found> FindByDigestLocked(const Caller& caller, absl::string_view prefix) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<const ImageName*> NamesOfLocked(absl::string_view digest) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<const Pinned*> UsersOfLocked(absl::string_view digest) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status InUseLocked(const Caller& caller, absl::string_view what,
                           const std::string& digest) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether `names` may become the caller's beside those that are.
  absl::Status CheckRoomLocked(const Caller& caller, const std::vector<ImageName>& names) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Sight SightOfLocked(const Caller& caller) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  msb::v1::Image DescribeLocked(const Caller& caller, const Found& found, const Sight& sight) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // With all names that the caller sees.
  msb::v1::Image ViewLocked(const Caller& caller, const Found& found) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t OwnBytesLocked(const std::vector<std::string>& digests) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status DeleteLocked(const std::vector<ImageName>& names,
                            const std::vector<std::string>& digests)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ContentStore::Kept KeptLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Announce(msb::v1::ImageEvent::Kind kind, const ImageName& name) const;

  const ContentStore& content_;
  const std::string assets_directory_;
  EventRing& events_;
  const size_t max_names_;
  mutable absl::Mutex mutex_;
  ImageIndex index_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, ImageRecord, std::less<>> images_ ABSL_GUARDED_BY(mutex_);
  std::map<NameKey, ImageName> names_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Pinned> pins_ ABSL_GUARDED_BY(mutex_);  // by the sandbox's id
  int operations_ ABSL_GUARDED_BY(mutex_) = 0;
  bool sweep_wanted_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_CATALOG_H_
