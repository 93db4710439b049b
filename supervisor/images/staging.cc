// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/staging.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <set>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/images/digest.h"
#include "supervisor/store/data_directory.h"

namespace msb {
namespace {

constexpr unsigned kPrivateMode = 0700;
constexpr mode_t kFileMode = 0600;
constexpr size_t kCopyBytes = 8u << 20;
// What is smaller is copied and left where it was: a job reads its image's configuration itself.
constexpr uint64_t kSmallBytes = 4u << 20;
constexpr absl::string_view kUnfinished = ".unfinished";

absl::StatusOr<UniqueFd> Open(const std::string& path, int flags) {
  const auto fd = Syscall(absl::StrCat("open ", path), [&] {
    return ::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, kFileMode);
  });
  if (!fd.ok()) return StoreError("the image store", fd.status());
  return UniqueFd(*fd);
}

absl::Status Store(absl::string_view what, const std::function<int()>& call) {
  const auto done = Syscall(what, call);
  return done.ok() ? absl::OkStatus() : StoreError("the image store", done.status());
}

// Whether nobody can write to the file by a descriptor that was opened earlier, or by memory that
// is mapped to it: the kernel gives a read lease for no other file.
bool HasNoWriter(int fd) {
  // A lease that is broken in this moment is told by a signal; not by one that ends us.
  if (::fcntl(fd, F_SETSIG, SIGURG) != 0 || ::fcntl(fd, F_SETLEASE, F_RDLCK) != 0) return false;
  ::fcntl(fd, F_SETLEASE, F_UNLCK);
  return true;
}

absl::StatusOr<UniqueFd> CopyOf(const UniqueFd& source, const std::string& path) {
  ::unlink(path.c_str());
  MSB_ASSIGN_OR_RETURN(UniqueFd copy, Open(path, O_RDWR | O_CREAT | O_EXCL));
  off_t offset = 0;
  while (true) {
    const auto sent = Syscall(absl::StrCat("copy to ", path), [&] {
      return ::sendfile(copy.get(), source.get(), &offset, kCopyBytes);
    });
    if (!sent.ok()) return StoreError("the image store", sent.status());
    if (*sent == 0) return copy;
  }
}

// Out of the reach of who wrote it: nobody opens it any more, it is ours and in a folder of ours.
// By its descriptor, since the job may put another file in its place.
absl::StatusOr<UniqueFd> MoveAway(UniqueFd file, const std::string& path) {
  MSB_RETURN_IF_ERROR(
      Store("fchown", [&] { return ::fchown(file.get(), ::geteuid(), ::getegid()); }));
  MSB_RETURN_IF_ERROR(Store("fchmod", [&] { return ::fchmod(file.get(), kFileMode); }));
  if (!HasNoWriter(file.get())) return CopyOf(file, path);
  const std::string self = absl::StrCat("/proc/self/fd/", file.get());
  MSB_RETURN_IF_ERROR(Store(absl::StrCat("link ", path), [&] {
    return ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW);
  }));
  return file;
}

absl::Status CheckHash(const UniqueFd& file, absl::string_view digest) {
  MSB_ASSIGN_OR_RETURN(const std::string hash, Sha256OfFile(file.get()));
  if (hash == digest) return absl::OkStatus();
  return MakeError(Reason::kImageDigestMismatch,
                   absl::StrCat("what came for ", digest, " is ", hash));
}

// Of what came: a directory is changed by every other pull that uses the folder meanwhile.
absl::Time NewestChange(const std::string& path) {
  absl::Time newest = absl::UnixEpoch();
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    struct stat info {};
    if (::lstat(it->path().c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) {
      newest = std::max(newest, absl::TimeFromTimespec(info.st_mtim));
    }
  }
  return newest;
}

}  // namespace

absl::StatusOr<Staging> Staging::Open(const std::string& path, uint32_t uid) {
  Staging staging(path);
  for (const char* folder : {"", "/blobs", "/layers"}) {
    MSB_RETURN_IF_ERROR(EnsureDirectory(path + folder, kPrivateMode));
  }
  const std::string fetch = path + "/fetch";
  if (::mkdir(fetch.c_str(), kPrivateMode) != 0 && errno != EEXIST) {
    return StoreError("the image store", absl::ErrnoToStatus(errno, fetch));
  }
  MSB_RETURN_IF_ERROR(Store(absl::StrCat("chown ", fetch), [&] {
    return ::geteuid() == 0 ? ::lchown(fetch.c_str(), uid, uid) : 0;
  }));
  return staging;
}

absl::StatusOr<UniqueFd> Staging::OpenForJob() const {
  const std::string fetch = path_ + "/fetch";
  const auto raw = Syscall(absl::StrCat("open_tree ", fetch), [&] {
    return ::open_tree(AT_FDCWD, fetch.c_str(),
                       AT_SYMLINK_NOFOLLOW | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  });
  // Without root there are no jobs in jails either, only tests.
  if (!raw.ok() && ::geteuid() != 0) return msb::Open(fetch, O_PATH | O_DIRECTORY);
  if (!raw.ok()) return StoreError("the image store", raw.status());
  UniqueFd tree(*raw);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  MSB_RETURN_IF_ERROR(Store("mount_setattr", [&] {
    return ::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes));
  }));
  return tree;
}

absl::Status Staging::TakeBlob(absl::string_view digest, uint64_t max_bytes) const {
  const std::string fetched = absl::StrCat(path_, "/fetch/sha256-", HexOf(digest));
  const std::string unfinished = absl::StrCat(BlobPath(digest), kUnfinished);
  const auto opened = Syscall(absl::StrCat("open ", fetched), [&] {
    return ::open(fetched.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  });
  if (!opened.ok()) {
    return WithReason(Reason::kImageJobFailed, "msb-image named a blob that it did not leave",
                      opened.status());
  }
  UniqueFd file(*opened);
  struct stat info {};
  MSB_RETURN_IF_ERROR(Store("fstat", [&] { return ::fstat(file.get(), &info); }));
  if (!S_ISREG(info.st_mode)) {
    return MakeError(Reason::kImageJobFailed, "msb-image left something that is no file");
  }
  if (static_cast<uint64_t>(info.st_size) > max_bytes) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat(digest, " has ", info.st_size, " bytes; at most ", max_bytes));
  }
  ::unlink(unfinished.c_str());
  auto undo = absl::MakeCleanup([&] { ::unlink(unfinished.c_str()); });
  if (static_cast<uint64_t>(info.st_size) <= kSmallBytes) {
    MSB_ASSIGN_OR_RETURN(file, CopyOf(file, unfinished));
  } else {
    MSB_ASSIGN_OR_RETURN(file, MoveAway(std::move(file), unfinished));
    ::unlink(fetched.c_str());
  }
  MSB_RETURN_IF_ERROR(CheckHash(file, digest));
  MSB_RETURN_IF_ERROR(Store("fsync", [&] { return ::fsync(file.get()); }));
  std::move(undo).Cancel();
  return Store(absl::StrCat("rename ", unfinished),
               [&] { return ::rename(unfinished.c_str(), BlobPath(digest).c_str()); });
}

absl::Status Staging::PutBlob(absl::string_view digest, absl::string_view bytes) const {
  const std::string unfinished = absl::StrCat(BlobPath(digest), kUnfinished);
  ::unlink(unfinished.c_str());
  MSB_ASSIGN_OR_RETURN(const UniqueFd file, msb::Open(unfinished, O_WRONLY | O_CREAT | O_EXCL));
  while (!bytes.empty()) {
    const auto written = Syscall(absl::StrCat("write ", unfinished),
                                 [&] { return ::write(file.get(), bytes.data(), bytes.size()); });
    if (!written.ok()) return StoreError("the image store", written.status());
    bytes.remove_prefix(static_cast<size_t>(*written));
  }
  MSB_RETURN_IF_ERROR(Store("fsync", [&] { return ::fsync(file.get()); }));
  return Store(absl::StrCat("rename ", unfinished),
               [&] { return ::rename(unfinished.c_str(), BlobPath(digest).c_str()); });
}

std::string Staging::BlobPath(absl::string_view digest) const {
  return absl::StrCat(path_, "/blobs/", HexOf(digest));
}

uint64_t Staging::FetchedBytes() const {
  return DiskUsage(path_ + "/fetch") + DiskUsage(path_ + "/blobs");
}

uint64_t Staging::FetchedBytes(absl::string_view digest) const {
  const std::string fetched = absl::StrCat(path_, "/fetch/sha256-", HexOf(digest));
  uint64_t bytes = 0;
  for (const std::string& path : {fetched, fetched + ".part"}) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0) {
      bytes += static_cast<uint64_t>(info.st_blocks) * kStatBlockBytes;
    }
  }
  return bytes;
}

bool Staging::HasBlob(absl::string_view digest) const {
  return ::access(BlobPath(digest).c_str(), F_OK) == 0;
}

std::vector<std::string> Staging::Blobs() const {
  std::vector<std::string> digests;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path_ + "/blobs", error), end; !error && it != end;
       it.increment(error)) {
    std::string digest = absl::StrCat(kDigestPrefix, it->path().filename().string());
    if (IsDigest(digest)) digests.push_back(std::move(digest));
  }
  return digests;
}

absl::StatusOr<std::string> Staging::ReadBlob(absl::string_view digest, size_t max_bytes) const {
  const std::string path = BlobPath(digest);
  MSB_ASSIGN_OR_RETURN(const UniqueFd file, msb::Open(path, O_RDONLY));
  std::string bytes(max_bytes + 1, '\0');
  MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall(absl::StrCat("read ", path), [&] {
                         return ::pread(file.get(), bytes.data(), bytes.size(), 0);
                       }));
  bytes.resize(static_cast<size_t>(got));
  if (bytes.size() <= max_bytes) return bytes;
  return MakeError(Reason::kImageTooLarge,
                   absl::StrCat(digest, " has more than ", max_bytes, " bytes"));
}

std::string Staging::LayerPath(const LayerKey& key) const {
  return absl::StrCat(path_, "/layers/", key.FileName());
}

bool Staging::HasLayer(const LayerKey& key) const {
  return ::access(LayerPath(key).c_str(), F_OK) == 0;
}

absl::StatusOr<UniqueFd> Staging::NewLayer(const LayerKey& key) const {
  const std::string path = absl::StrCat(LayerPath(key), kUnfinished);
  ::unlink(path.c_str());
  return msb::Open(path, O_RDWR | O_CREAT | O_EXCL);
}

absl::Status Staging::KeepLayer(const LayerKey& key, const UniqueFd& file) const {
  const std::string path = absl::StrCat(LayerPath(key), kUnfinished);
  MSB_RETURN_IF_ERROR(Store("fsync", [&] { return ::fsync(file.get()); }));
  return Store(absl::StrCat("rename ", path),
               [&] { return ::rename(path.c_str(), LayerPath(key).c_str()); });
}

void Staging::DropLayer(const LayerKey& key) const {
  ::unlink(absl::StrCat(LayerPath(key), kUnfinished).c_str());
}

void Staging::Drop(const std::vector<std::string>& digests) const {
  for (const std::string& digest : digests) {
    const std::string fetched = absl::StrCat(path_, "/fetch/sha256-", HexOf(digest));
    for (const std::string& path : {fetched, fetched + ".part", BlobPath(digest)}) {
      ::unlink(path.c_str());
    }
    std::error_code error;
    for (std::filesystem::directory_iterator it(path_ + "/layers", error), end; !error && it != end;
         it.increment(error)) {
      if (absl::StrContains(it->path().filename().string(), HexOf(digest))) {
        ::unlink(it->path().c_str());
      }
    }
  }
}

bool Staging::IsEmpty() const {
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(path_, error), end; !error && it != end;
       it.increment(error)) {
    if (!it->is_directory(error)) return false;
  }
  return true;
}

absl::Status Staging::Remove() const { return RemoveTree(path_); }

absl::Status ExpireStaging(const std::string& staging, const KeptPartials& kept,
                           const std::set<std::string>& busy) {
  struct Partial {
    absl::Time at;
    std::string path;
  };
  std::vector<Partial> partials;
  std::vector<std::string> expired;
  std::error_code error;
  for (std::filesystem::directory_iterator it(staging, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (busy.contains(name)) continue;
    const absl::Time at = NewestChange(it->path().string());
    if (absl::StartsWith(name, kPullPrefix) && absl::Now() - at < kept.age) {
      partials.push_back({at, it->path().string()});
    } else {
      expired.push_back(it->path().string());
    }
  }
  std::sort(partials.begin(), partials.end(),
            [](const Partial& a, const Partial& b) { return a.at > b.at; });
  uint64_t bytes = 0;
  for (const Partial& partial : partials) {
    bytes += DiskUsage(partial.path);
    if (bytes > kept.bytes) expired.push_back(partial.path);
  }
  absl::Status status;
  for (const std::string& path : expired) status.Update(RemoveTree(path));
  return status;
}

}  // namespace msb
