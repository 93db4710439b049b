// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/content_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/images/digest.h"
#include "supervisor/store/data_directory.h"
#include "supervisor/store/ids.h"

namespace msb {
namespace {

constexpr unsigned kPrivateMode = 0700;
constexpr const char* kFolders[] = {
    "", "/blobs", "/blobs/sha256", "/layers", "/layers/sha256", "/staging", "/trash"};

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

absl::Status Move(const std::string& from, const std::string& to) {
  if (Exists(to)) {
    ::unlink(from.c_str());
    return absl::OkStatus();
  }
  const auto moved =
      Syscall(absl::StrCat("rename ", from), [&] { return ::rename(from.c_str(), to.c_str()); });
  return moved.ok() ? absl::OkStatus() : StoreError("the image store", moved.status());
}

absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (!error) return names;
  return MakeError(Reason::kHostError, absl::StrCat("cannot list ", path, ": ", error.message()));
}

}  // namespace

std::string LayerKey::FileName() const {
  return absl::StrCat(HexOf(diff_id), ".", HexOf(blob_digest), ".erofs");
}

absl::Status StoreError(absl::string_view what, const absl::Status& status) {
  // ErrnoToStatus makes ENOSPC and EDQUOT ResourceExhausted.
  if (absl::IsResourceExhausted(status)) {
    return MakeError(Reason::kNoSpace,
                     absl::StrCat(what,
                                  ": the disk is full; msbctl image prune frees what nobody "
                                  "needs (",
                                  status.message(), ")"));
  }
  return WithReason(Reason::kHostError, what, status);
}

absl::Status SyncDirectory(const std::string& path) {
  const auto opened = Syscall(absl::StrCat("open ", path), [&] {
    return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  });
  if (!opened.ok()) return StoreError("the image store", opened.status());
  const UniqueFd fd(*opened);
  const auto synced = Syscall(absl::StrCat("fsync ", path), [&] { return ::fsync(fd.get()); });
  return synced.ok() ? absl::OkStatus() : StoreError("the image store", synced.status());
}

absl::StatusOr<ContentStore> ContentStore::Open(const std::string& path) {
  for (const char* folder : kFolders) {
    MSB_RETURN_IF_ERROR(EnsureDirectory(path + folder, kPrivateMode));
  }
  ContentStore store(path);
  store.EmptyTrash();
  return store;
}

std::string ContentStore::BlobPath(absl::string_view digest) const {
  return absl::StrCat(path_, "/blobs/sha256/", HexOf(digest));
}

std::string ContentStore::LayerPath(const LayerKey& key) const {
  return absl::StrCat(path_, "/layers/sha256/", key.FileName());
}

bool ContentStore::HasBlob(absl::string_view digest) const { return Exists(BlobPath(digest)); }

bool ContentStore::HasLayer(const LayerKey& key) const { return Exists(LayerPath(key)); }

absl::StatusOr<std::string> ContentStore::ReadBlob(absl::string_view digest,
                                                   size_t max_bytes) const {
  const std::string path = BlobPath(digest);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0) {
    return StoreError("the image store", absl::ErrnoToStatus(errno, path));
  }
  if (static_cast<uint64_t>(info.st_size) > max_bytes) {
    return MakeError(Reason::kImageInvalid, absl::StrCat(digest, " has ", info.st_size, " bytes"));
  }
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall(absl::StrCat("read ", path), [&] {
                           return ::read(fd.get(), bytes.data() + filled, bytes.size() - filled);
                         }));
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  bytes.resize(filled);
  if (Sha256(bytes) == digest) return bytes;
  return MakeError(Reason::kImageInvalid,
                   absl::StrCat(path, " is damaged: remove the image and pull it again"));
}

absl::Status ContentStore::AddBlob(absl::string_view digest, const std::string& file) const {
  return Move(file, BlobPath(digest));
}

absl::Status ContentStore::AddLayer(const LayerKey& key, const std::string& file) const {
  return Move(file, LayerPath(key));
}

absl::Status ContentStore::Sync() const {
  MSB_RETURN_IF_ERROR(SyncDirectory(path_ + "/blobs/sha256"));
  return SyncDirectory(path_ + "/layers/sha256");
}

absl::Status ContentStore::Discard(const std::string& folder,
                                   const std::set<std::string>& kept) const {
  MSB_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  for (const std::string& name : names) {
    if (kept.contains(name)) continue;
    const std::string from = absl::StrCat(folder, "/", name);
    const std::string to = absl::StrCat(path_, "/trash/", NewId());
    if (::rename(from.c_str(), to.c_str()) == 0 || errno == ENOENT) continue;
    return StoreError("the image store", absl::ErrnoToStatus(errno, from));
  }
  return absl::OkStatus();
}

absl::Status ContentStore::DiscardAllBut(const Kept& kept) const {
  MSB_RETURN_IF_ERROR(Discard(path_ + "/layers/sha256", kept.layers));
  return Discard(path_ + "/blobs/sha256", kept.blobs);
}

uint64_t ContentStore::EmptyTrash() const {
  const std::string trash = path_ + "/trash";
  const uint64_t bytes = DiskUsage(trash);
  const auto names = ListFolder(trash);
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    const std::string path = absl::StrCat(trash, "/", name);
    if (::unlink(path.c_str()) == 0) continue;
    const absl::Status removed = RemoveTree(path);
    if (!removed.ok()) {
      MSB_LOG(kWarning) << removed.message();
    }
  }
  return bytes;
}

uint64_t ContentStore::UsedBytes() const {
  return DiskUsage(path_ + "/blobs") + DiskUsage(path_ + "/layers") + DiskUsage(staging());
}

uint64_t DiskUsage(const std::string& path) {
  uint64_t bytes = 0;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    struct stat info {};
    if (::lstat(it->path().c_str(), &info) == 0) {
      bytes += static_cast<uint64_t>(info.st_blocks) * kStatBlockBytes;
    }
  }
  return bytes;
}

}  // namespace msb
