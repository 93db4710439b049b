// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/archive/tar_writer.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/syscall.h"
#include "image/tar/format.h"
#include "image/write_error.h"

namespace msb::image {
namespace {

using tar::Header;
using tar::kBlockBytes;

template <size_t N>
void PutOctal(char (&field)[N], uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llo", static_cast<int>(N - 1),
                static_cast<unsigned long long>(value));  // NOLINT: printf's type
  std::memcpy(field, text, N);
}

// Eleven octal digits, or what GNU has for more: the first bit, and a big-endian number.
void PutSize(char (&field)[12], uint64_t size) {
  if (size >> 33 == 0) {
    PutOctal(field, size);
    return;
  }
  field[0] = static_cast<char>(0x80);
  for (size_t i = 0; i < 8; ++i) field[11 - i] = static_cast<char>(size >> (8 * i));
}

// Of all bytes of the header, with spaces in place of the sum.
uint64_t ChecksumOf(const Header& header) {
  Header blank = header;
  std::memset(blank.checksum, ' ', sizeof blank.checksum);
  unsigned char bytes[kBlockBytes];
  std::memcpy(bytes, &blank, sizeof bytes);
  uint64_t sum = 0;
  for (const unsigned char byte : bytes) sum += byte;
  return sum;
}

}  // namespace

absl::Status TarWriter::AddHeader(absl::string_view name, uint32_t mode, char type, uint64_t size) {
  MSB_CHECK(left_ == 0 && name.size() < sizeof Header::name);
  Header header{};
  std::memcpy(header.name, name.data(), name.size());
  PutOctal(header.mode, mode);
  PutOctal(header.uid, 0);
  PutOctal(header.gid, 0);
  PutSize(header.size, size);
  PutOctal(header.mtime, 0);
  header.type = type;
  std::memcpy(header.magic, tar::kUstarMagic, sizeof header.magic);
  std::memcpy(header.version, "00", sizeof header.version);
  char sum[7];
  std::memcpy(header.checksum, "      \0 ", sizeof header.checksum);
  PutOctal(sum, ChecksumOf(header));
  std::memcpy(header.checksum, sum, sizeof sum);
  left_ = size;
  return Write(absl::string_view(reinterpret_cast<const char*>(&header), sizeof header));
}

absl::Status TarWriter::AddDirectory(absl::string_view name) {
  return AddHeader(name, 0755, tar::kDirectory, 0);
}

absl::Status TarWriter::BeginFile(absl::string_view name, uint64_t size) {
  return AddHeader(name, 0644, tar::kFile, size);
}

absl::Status TarWriter::Append(absl::string_view bytes) {
  MSB_CHECK(bytes.size() <= left_);
  left_ -= bytes.size();
  if (absl::Status status = Write(bytes); !status.ok() || left_ > 0) return status;
  const std::string padding((kBlockBytes - written_ % kBlockBytes) % kBlockBytes, '\0');
  return Write(padding);
}

absl::Status TarWriter::Finish() { return Write(std::string(2 * kBlockBytes, '\0')); }

absl::Status TarWriter::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const auto count =
        Syscall("write", [&] { return ::write(file_.get(), bytes.data(), bytes.size()); });
    if (!count.ok()) return WriteError("writing the archive", count.status());
    bytes.remove_prefix(static_cast<size_t>(*count));
    written_ += static_cast<uint64_t>(*count);
  }
  return absl::OkStatus();
}

}  // namespace msb::image
