// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/archive/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

namespace msb::image {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;
constexpr size_t kMaxPaddingBytes = 16 << 20;

std::string OrEmpty(const char* text) { return text == nullptr ? "" : text; }

TarEntry::Kind KindOf(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) return TarEntry::Kind::kHardLink;
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return TarEntry::Kind::kFile;
    case AE_IFDIR:
      return TarEntry::Kind::kDirectory;
    case AE_IFLNK:
      return TarEntry::Kind::kSymlink;
    default:
      return TarEntry::Kind::kOther;
  }
}

}  // namespace

struct TarReader::Input {
  UniqueFd file;
  std::vector<char> piece = std::vector<char>(kPieceBytes);
  uint64_t taken = 0;

  // -1 with errno.
  ssize_t Fill() {
    while (true) {
      const ssize_t count = ::read(file.get(), piece.data(), piece.size());
      if (count > 0) taken += static_cast<uint64_t>(count);
      if (count >= 0 || errno != EINTR) return count;
    }
  }

  static la_ssize_t OnRead(struct archive* archive, void* self, const void** bytes) {
    Input& input = *static_cast<Input*>(self);
    *bytes = input.piece.data();
    const ssize_t count = input.Fill();
    if (count < 0) archive_set_error(archive, errno, "reading the archive failed");
    return count;
  }
};

TarReader::TarReader(UniqueFd file) : input_(std::make_unique<Input>()) {
  input_->file = std::move(file);
  archive_ = archive_read_new();
  MSB_CHECK(archive_ != nullptr);
  // Nothing else is asked for by name: neither other formats nor filters that run programs.
  MSB_CHECK(archive_read_support_filter_gzip(archive_) == ARCHIVE_OK);
  MSB_CHECK(archive_read_support_filter_zstd(archive_) == ARCHIVE_OK);
  MSB_CHECK(archive_read_support_format_tar(archive_) == ARCHIVE_OK);
}

TarReader::~TarReader() { archive_read_free(archive_); }

absl::Status TarReader::Failure() const {
  const char* text = archive_error_string(archive_);
  return MakeError(
      Reason::kImageInvalid,
      absl::StrCat("the archive is no tar, plain or compressed with gzip or zstd, or is damaged: ",
                   text == nullptr ? "no reason given" : EscapeForLog(text)));
}

absl::StatusOr<std::optional<TarEntry>> TarReader::Next() {
  if (!opened_) {
    opened_ = true;
    if (archive_read_open(archive_, input_.get(), nullptr, &Input::OnRead, nullptr) != ARCHIVE_OK) {
      return Failure();
    }
  }
  archive_entry* entry = nullptr;
  const int result = archive_read_next_header(archive_, &entry);
  if (result == ARCHIVE_EOF) return std::nullopt;
  // A warning is about what is of no interest here: an owner's name that cannot be converted.
  if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return Failure();
  TarEntry found{.kind = KindOf(entry), .name = OrEmpty(archive_entry_pathname(entry))};
  if (found.kind == TarEntry::Kind::kHardLink)
    found.target = OrEmpty(archive_entry_hardlink(entry));
  if (found.kind == TarEntry::Kind::kSymlink) found.target = OrEmpty(archive_entry_symlink(entry));
  if (archive_entry_size(entry) < 0) return Failure();
  found.size = static_cast<uint64_t>(archive_entry_size(entry));
  return found;
}

absl::StatusOr<size_t> TarReader::Read(absl::Span<char> buffer) {
  const la_ssize_t count = archive_read_data(archive_, buffer.data(), buffer.size());
  if (count < 0) return Failure();
  return static_cast<size_t>(count);
}

uint64_t TarReader::taken_bytes() const { return input_->taken; }

uint64_t TarReader::tar_bytes() const {
  return static_cast<uint64_t>(archive_filter_bytes(archive_, 0));
}

void TarReader::Drain() {
  const uint64_t enough = input_->taken + kMaxPaddingBytes;
  while (input_->taken < enough && input_->Fill() > 0) {
  }
}

}  // namespace msb::image
