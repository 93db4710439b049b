// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What images may take of the disk (images.store_mib), dealt out among all that is under way: what
// one pull, load or layer has been promised, no other counts on.

#ifndef MSB_SUPERVISOR_IMAGES_STORE_SPACE_H_
#define MSB_SUPERVISOR_IMAGES_STORE_SPACE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "supervisor/config/config.h"
#include "supervisor/images/content_store.h"

namespace msb {

// Thread-safe. Nobody waits for room: what has none fails, and what was there first goes on.
class StoreSpace {
 public:
  // Bytes that the owner of a share has on the disk by now. Called under a lock: quick, and not
  // calling back.
  using Meter = std::function<uint64_t()>;

  // Of one writer. Its end gives back what was not written; what was is the store's.
  class [[nodiscard]] Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept
        : space_(std::exchange(other.space_, nullptr)), id_(std::exchange(other.id_, 0)) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(space_, other.space_);
      std::swap(id_, other.id_);
      return *this;
    }
    ~Share() {
      if (space_ != nullptr) space_->Return(id_);
    }

    // Often, while it is written. The share follows what was and stays a piece ahead. kNoSpace once
    // more is written than the store has room for; what was written between two calls is beyond its
    // limit then, and nothing else.
    absl::Status Follow() const;
    // What this share and the rest of the store have room for.
    uint64_t Room() const;

   private:
    friend class StoreSpace;
    Share(StoreSpace& space, uint64_t id) : space_(&space), id_(id) {}

    StoreSpace* space_ = nullptr;
    uint64_t id_ = 0;
  };

  // Both outlive this.
  StoreSpace(const ImagesConfig& config, const ContentStore& content)
      : config_(config), content_(content) {}

  // For who measures by `written`, which outlives the share, and will write about `bytes`; 0 when
  // that is not known. kNoSpace when the store has not so many now. What is promised is a piece of
  // them: who announces much and writes slowly, or never, keeps nobody else away.
  absl::StatusOr<Share> Reserve(uint64_t bytes, Meter written);

 private:
  struct Promise {
    Meter written;
    uint64_t bytes = 0;
    // Of them, what is not yet counted as the store's.
    uint64_t Outstanding() const;
  };

  void Return(uint64_t id);
  absl::Status Follow(uint64_t id);
  uint64_t Room(uint64_t id) const;
  // What the store has, and what it will have by all promises.
  struct Taken {
    uint64_t used = 0;
    uint64_t promised = 0;
  };
  Taken Count() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t LimitBytes() const;
  uint64_t AheadBytes() const;
  absl::Status Full(const Taken& taken, uint64_t more) const;

  const ImagesConfig& config_;
  const ContentStore& content_;
  mutable absl::Mutex mutex_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, Promise> promises_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_IMAGES_STORE_SPACE_H_
