// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/archive/archive_contents.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/byte_limit.h"

namespace msb::image {
namespace {

constexpr size_t kMaxNameBytes = 1024;
constexpr int kMaxLinks = 8;
constexpr char kBlobFolder[] = "blobs/sha256/";

absl::Status Hostile(absl::string_view name, absl::string_view what) {
  return MakeError(
      Reason::kImageInvalid,
      absl::StrCat("the archive's entry \"", EscapeForLog(name.substr(0, 200)), "\" ", what));
}

absl::Status CheckSize(absl::string_view name, uint64_t bytes, const Limits& limits) {
  const ByteLimit limit{limits.max_blob_bytes, "images.max_blob_mib"};
  if (bytes <= limit.bytes) return absl::OkStatus();
  return limit.Exceeded(absl::StrCat("the archive's entry \"", name, "\" has"));
}

bool IsVisible(char c) { return c > 0x20 && c < 0x7f; }

// The digest that a blob's name promises, in an OCI layout and in docker's older form
// ("<hex>.json"); nullopt for any other name.
std::optional<Digest> PromisedDigest(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, kBlobFolder) && !absl::ConsumeSuffix(&name, ".json")) {
    return std::nullopt;
  }
  const absl::StatusOr<Digest> digest = Digest::Parse(absl::StrCat("sha256:", name));
  return digest.ok() ? std::optional<Digest>(*digest) : std::nullopt;
}

}  // namespace

std::optional<std::string> NormalName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || name.front() == '/' ||
      !std::all_of(name.begin(), name.end(), IsVisible)) {
    return std::nullopt;
  }
  std::vector<absl::string_view> parts;
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part == "..") return std::nullopt;
    if (!part.empty() && part != ".") parts.push_back(part);
  }
  return absl::StrJoin(parts, "/");
}

std::optional<std::string> LinkTarget(absl::string_view name, absl::string_view target) {
  if (target.empty() || target.size() > kMaxNameBytes || target.front() == '/') return std::nullopt;
  std::vector<absl::string_view> parts = absl::StrSplit(name, '/', absl::SkipEmpty());
  if (!parts.empty()) parts.pop_back();
  for (const absl::string_view part : absl::StrSplit(target, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (parts.empty()) {
      return std::nullopt;
    } else {
      parts.pop_back();
    }
  }
  return NormalName(absl::StrJoin(parts, "/"));
}

absl::Status ArchiveContents::ReadAll(ArchiveStream& stream, const Limits& limits,
                                      const std::function<void()>& on_progress) {
  tar::Reader reader(stream);
  while (true) {
    MSB_ASSIGN_OR_RETURN(const std::optional<tar::Entry> entry, reader.Next());
    if (!entry.has_value()) break;
    if (++entries_ > limits.max_archive_entries) {
      return MakeError(Reason::kImageTooLarge,
                       absl::StrCat("the archive has more than ", limits.max_archive_entries,
                                    " entries (images.max_archive_entries)"));
    }
    MSB_RETURN_IF_ERROR(TakeEntry(reader, *entry, limits, on_progress));
  }
  stream.Drain();
  return absl::OkStatus();
}

absl::Status ArchiveContents::TakeEntry(tar::Reader& reader, const tar::Entry& entry,
                                        const Limits& limits,
                                        const std::function<void()>& on_progress) {
  const std::optional<std::string> name = NormalName(entry.name);
  if (!name.has_value()) return Hostile(entry.name, "has a name that no image archive has");
  using Type = tar::Entry::Type;
  switch (entry.type) {
    case Type::kDirectory:
      return absl::OkStatus();
    case Type::kFile: {
      if (entry.extents) return Hostile(entry.name, "is a sparse file, as no image archive has it");
      MSB_ASSIGN_OR_RETURN(StoredBlob blob, Store(reader, *name, limits, on_progress));
      return Remember(*name, std::move(blob));
    }
    case Type::kSymlink:
    case Type::kHardLink: {
      // A hard link names its target from the root of the archive.
      std::optional<std::string> target =
          entry.type == Type::kHardLink ? NormalName(entry.link) : LinkTarget(*name, entry.link);
      if (!target.has_value()) return Hostile(entry.name, "is a link that leads out of it");
      links_[*name] = *std::move(target);
      return absl::OkStatus();
    }
    case Type::kCharDevice:
    case Type::kBlockDevice:
    case Type::kFifo:
      return Hostile(entry.name, "is neither file, directory nor link");
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredBlob> ArchiveContents::Store(tar::Reader& reader, const std::string& name,
                                                  const Limits& limits,
                                                  const std::function<void()>& on_progress) {
  const ByteLimit in_all =
      Nearest({limits.max_image_bytes, "images.max_image_mib"}, RoomInStore(limits.room_bytes));
  MSB_ASSIGN_OR_RETURN(NewBlob blob, directory_.Create());
  while (true) {
    MSB_ASSIGN_OR_RETURN(const absl::string_view piece, reader.ReadContent());
    if (piece.empty()) break;
    MSB_RETURN_IF_ERROR(CheckSize(name, blob.size() + piece.size(), limits));
    stored_bytes_ += piece.size();
    if (stored_bytes_ > in_all.bytes) return in_all.Exceeded("the archive unpacks to");
    MSB_RETURN_IF_ERROR(blob.Append(piece));
    on_progress();
  }
  const uint64_t size = blob.size();
  MSB_ASSIGN_OR_RETURN(Digest digest, blob.Finish());
  StoredBlob stored{std::move(digest), size};
  blobs_.emplace(stored.digest, stored);
  const std::optional<Digest> promised = PromisedDigest(name);
  if (promised.has_value() && *promised != stored.digest) {
    return MakeError(
        Reason::kImageDigestMismatch,
        absl::StrCat("the archive's entry \"", name, "\" has the digest ", stored.digest.text()));
  }
  return stored;
}

absl::Status ArchiveContents::Remember(const std::string& name, StoredBlob blob) {
  const auto [known, is_new] = files_.try_emplace(name, blob);
  if (is_new || known->second.digest == blob.digest) return absl::OkStatus();
  return Hostile(name, "is there twice, with different content");
}

const StoredBlob* ArchiveContents::Find(absl::string_view name) const {
  std::optional<std::string> next = NormalName(name);
  for (int links = 0; next.has_value() && links <= kMaxLinks; ++links) {
    const auto file = files_.find(*next);
    if (file != files_.end()) return &file->second;
    const auto link = links_.find(*next);
    if (link == links_.end()) return nullptr;
    next = link->second;
  }
  return nullptr;
}

const StoredBlob* ArchiveContents::FindDigest(const Digest& digest) const {
  const auto found = blobs_.find(digest);
  return found == blobs_.end() ? nullptr : &found->second;
}

absl::StatusOr<std::string> ArchiveContents::ReadText(const StoredBlob& blob,
                                                      absl::string_view what,
                                                      const Limits& limits) const {
  if (blob.size > limits.max_manifest_bytes) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat(what, " has ", blob.size, " bytes, at most ",
                                  limits.max_manifest_bytes, " are allowed"));
  }
  return directory_.Read(blob.digest, limits.max_manifest_bytes);
}

void ArchiveContents::Discard(const std::function<bool(const Digest&)>& keep) const {
  for (const auto& [digest, blob] : blobs_) {
    if (!keep(digest)) directory_.Remove(digest);
  }
}

}  // namespace msb::image
