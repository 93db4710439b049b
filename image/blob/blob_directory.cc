// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/blob/blob_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "image/write_error.h"

namespace msb::image {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;
constexpr mode_t kFileMode = 0640;
constexpr char kWhere[] = "staging directory";

std::string PartName(const Digest& digest) { return absl::StrCat(digest.file_name(), ".part"); }

absl::Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const auto written =
        Syscall("writing a blob", [&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (!written.ok()) return WriteError(kWhere, written.status());
    bytes.remove_prefix(static_cast<size_t>(*written));
  }
  return absl::OkStatus();
}

// Hands all bytes of `fd`, from its beginning, to `hash`; says how many there were.
absl::StatusOr<uint64_t> HashFile(int fd, Sha256& hash) {
  std::vector<char> piece(kPieceBytes);
  uint64_t total = 0;
  while (true) {
    MSB_ASSIGN_OR_RETURN(const ssize_t count, Syscall("reading a blob", [&] {
                           return ::pread(fd, piece.data(), piece.size(),
                                          static_cast<off_t>(total));
                         }));
    if (count == 0) return total;
    hash.Update(absl::string_view(piece.data(), static_cast<size_t>(count)));
    total += static_cast<uint64_t>(count);
  }
}

absl::StatusOr<UniqueFd> OpenIn(int directory, const std::string& name, int flags) {
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall(absl::StrCat("open ", name), [&] {
                         return ::openat(directory, name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW,
                                         kFileMode);
                       }));
  return UniqueFd(fd);
}

// Whether `name` still leads to the file that `fd` is.
bool IsNamed(int fd, int directory, const std::string& name) {
  struct stat held {};
  struct stat named {};
  return ::fstat(fd, &held) == 0 &&
         ::fstatat(directory, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

absl::Status Rename(int directory, const std::string& from, const std::string& to) {
  return status_internal::ToStatus(Syscall(absl::StrCat("rename ", from), [&] {
    return ::renameat(directory, from.c_str(), directory, to.c_str());
  }));
}

}  // namespace

absl::Status PartialBlob::Append(absl::string_view bytes) {
  MSB_RETURN_IF_ERROR(WriteAll(file_.get(), bytes));
  hash_.Update(bytes);
  size_ += bytes.size();
  return absl::OkStatus();
}

absl::Status PartialBlob::Restart() {
  MSB_RETURN_IF_ERROR(Syscall("ftruncate", [&] { return ::ftruncate(file_.get(), 0); }));
  MSB_RETURN_IF_ERROR(Syscall("lseek", [&] { return ::lseek(file_.get(), 0, SEEK_SET); }));
  hash_ = Sha256();
  size_ = 0;
  return absl::OkStatus();
}

absl::Status PartialBlob::Finish() {
  const Digest actual = hash_.Finish();
  if (actual != digest_) {
    ::unlinkat(directory_, PartName(digest_).c_str(), 0);
    return MakeError(Reason::kImageDigestMismatch, absl::StrCat("what came as ", digest_.text(),
                                                                " has the digest ", actual.text()));
  }
  return Rename(directory_, PartName(digest_), digest_.file_name());
}

absl::Status PartialBlob::HashWhatIsThere() {
  MSB_ASSIGN_OR_RETURN(size_, HashFile(file_.get(), hash_));
  return status_internal::ToStatus(
      Syscall("lseek", [&] { return ::lseek(file_.get(), static_cast<off_t>(size_), SEEK_SET); }));
}

NewBlob::NewBlob(NewBlob&& other) noexcept
    : directory_(other.directory_),
      name_(std::exchange(other.name_, "")),
      file_(std::move(other.file_)),
      hash_(std::move(other.hash_)),
      size_(other.size_) {}

NewBlob::~NewBlob() {
  if (!name_.empty()) ::unlinkat(directory_, name_.c_str(), 0);
}

absl::Status NewBlob::Append(absl::string_view bytes) {
  MSB_RETURN_IF_ERROR(WriteAll(file_.get(), bytes));
  hash_.Update(bytes);
  size_ += bytes.size();
  return absl::OkStatus();
}

absl::StatusOr<Digest> NewBlob::Finish() {
  Digest digest = hash_.Finish();
  MSB_RETURN_IF_ERROR(Rename(directory_, name_, digest.file_name()));
  name_.clear();
  return digest;
}

absl::StatusOr<bool> BlobDirectory::Has(const Digest& digest) const {
  const absl::StatusOr<UniqueFd> file = OpenIn(directory_.get(), digest.file_name(), O_RDONLY);
  if (absl::IsNotFound(file.status())) return false;
  MSB_RETURN_IF_ERROR(file.status());
  Sha256 hash;
  MSB_RETURN_IF_ERROR(HashFile(file->get(), hash));
  if (hash.Finish() == digest) return true;
  Remove(digest);
  return false;
}

absl::StatusOr<PartialBlob> BlobDirectory::Continue(const Digest& digest) const {
  const std::string name = PartName(digest);
  absl::StatusOr<UniqueFd> file = OpenIn(directory_.get(), name, O_RDWR | O_CREAT);
  if (!file.ok()) return WriteError(kWhere, file.status());
  if (::flock(file->get(), LOCK_EX | LOCK_NB) != 0 ||
      !IsNamed(file->get(), directory_.get(), name)) {
    return absl::UnavailableError("another job writes this blob");
  }
  PartialBlob blob(directory_.get(), digest, *std::move(file));
  MSB_RETURN_IF_ERROR(blob.HashWhatIsThere());
  return blob;
}

absl::StatusOr<NewBlob> BlobDirectory::Create() {
  std::string name = absl::StrCat("new-", next_new_++);
  // What an earlier job of this directory left behind when it was killed.
  ::unlinkat(directory_.get(), name.c_str(), 0);
  absl::StatusOr<UniqueFd> file = OpenIn(directory_.get(), name, O_RDWR | O_CREAT | O_EXCL);
  if (!file.ok()) return WriteError(kWhere, file.status());
  return NewBlob(directory_.get(), std::move(name), *std::move(file));
}

absl::StatusOr<UniqueFd> BlobDirectory::Open(const Digest& digest) const {
  return OpenIn(directory_.get(), digest.file_name(), O_RDONLY);
}

absl::StatusOr<std::string> BlobDirectory::Read(const Digest& digest, uint64_t max_bytes) const {
  MSB_ASSIGN_OR_RETURN(std::string bytes, ReadStart(digest, max_bytes + 1));
  if (bytes.size() <= max_bytes) return bytes;
  return MakeError(Reason::kImageTooLarge,
                   absl::StrCat("blob ", digest.text(), " is larger than ", max_bytes, " bytes"));
}

absl::StatusOr<std::string> BlobDirectory::ReadStart(const Digest& digest, size_t count) const {
  MSB_ASSIGN_OR_RETURN(const UniqueFd file, Open(digest));
  std::string bytes;
  while (bytes.size() < count) {
    const size_t had = bytes.size();
    bytes.resize(std::min(count, had + kPieceBytes));
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("reading a blob", [&] {
                           return ::read(file.get(), bytes.data() + had, bytes.size() - had);
                         }));
    bytes.resize(had + static_cast<size_t>(got));
    if (got == 0) break;
  }
  return bytes;
}

void BlobDirectory::Remove(const Digest& digest) const {
  ::unlinkat(directory_.get(), digest.file_name().c_str(), 0);
}

}  // namespace msb::image
