// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/store_space.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace msb {
namespace {

// A share is so much ahead of its writer: about what one writes between two looks, and of a small
// store so little that others do not miss it.
constexpr uint64_t kAheadBytes = 32 * kBytesPerMib;
constexpr uint64_t kAheadParts = 16;

uint64_t MibOf(uint64_t bytes) { return (bytes + kBytesPerMib - 1) / kBytesPerMib; }

}  // namespace

absl::Status StoreSpace::Share::Follow() const {
  return space_ == nullptr ? absl::OkStatus() : space_->Follow(id_);
}

uint64_t StoreSpace::Share::Room() const {
  return space_ == nullptr ? std::numeric_limits<uint64_t>::max() : space_->Room(id_);
}

uint64_t StoreSpace::Promise::Outstanding() const { return bytes - std::min(bytes, written()); }

uint64_t StoreSpace::LimitBytes() const { return config_.store_mib * kBytesPerMib; }

uint64_t StoreSpace::AheadBytes() const {
  return std::min(kAheadBytes, LimitBytes() / kAheadParts);
}

StoreSpace::Taken StoreSpace::Count() const {
  Taken taken{.used = content_.UsedBytes()};
  for (const auto& [id, promise] : promises_) taken.promised += promise.Outstanding();
  return taken;
}

absl::Status StoreSpace::Full(const Taken& taken, uint64_t more) const {
  std::string what = absl::StrCat("the store has ", MibOf(taken.used), " MiB of images");
  if (taken.promised > 0) {
    absl::StrAppend(&what, ", ", MibOf(taken.promised),
                    " MiB are promised to pulls and loads that run");
  }
  if (more > 0) absl::StrAppend(&what, ", and ", MibOf(more), " MiB more are needed");
  return MakeError(
      Reason::kNoSpace,
      absl::StrCat(what, "; images.store_mib = ", config_.store_mib,
                   ". msbctl image prune frees what nobody needs",
                   taken.promised > 0 ? "; or try again when the others have ended" : ""));
}

absl::StatusOr<StoreSpace::Share> StoreSpace::Reserve(uint64_t bytes, Meter written) {
  if (config_.store_mib == 0) return Share();
  absl::MutexLock lock(&mutex_);
  const Taken taken = Count();
  if (taken.used + taken.promised + bytes > LimitBytes()) return Full(taken, bytes);
  // What is there already is counted as the store's; less of it, when it is begun anew.
  uint64_t before = written();
  const uint64_t id = next_id_++;
  promises_[id] = {.written =
                       [written = std::move(written), before]() mutable {
                         const uint64_t now = written();
                         before = std::min(before, now);
                         return now - before;
                       },
                   .bytes = std::min(bytes, AheadBytes())};
  return Share(*this, id);
}

void StoreSpace::Return(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  promises_.erase(id);
}

absl::Status StoreSpace::Follow(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  Promise& promise = promises_.at(id);
  const uint64_t written = promise.written();
  const uint64_t ahead = AheadBytes();
  // Not at each look: the whole store is counted.
  if (promise.bytes >= written + ahead / 2) return absl::OkStatus();
  const Taken taken = Count();
  const uint64_t all = taken.used + taken.promised;
  // Those fail who have written more than they were promised.
  if (all > LimitBytes()) return written > promise.bytes ? Full(taken, 0) : absl::OkStatus();
  const uint64_t covered = std::max(written, promise.bytes);
  promise.bytes = std::min(covered + (LimitBytes() - all), written + ahead);
  return absl::OkStatus();
}

uint64_t StoreSpace::Room(uint64_t id) const {
  absl::MutexLock lock(&mutex_);
  const Taken taken = Count();
  const uint64_t all = taken.used + taken.promised;
  return promises_.at(id).Outstanding() + LimitBytes() - std::min(LimitBytes(), all);
}

}  // namespace msb
