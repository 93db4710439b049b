// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/layer/decompressor.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"

namespace msb::image {
namespace {

// RFC 1952, 2.3.1; RFC 8878, 3.1.1 and 3.1.2 (a skippable frame may come first).
constexpr absl::string_view kGzipMagic = "\x1f\x8b";
constexpr absl::string_view kZstdMagic = "\x28\xb5\x2f\xfd";
constexpr absl::string_view kZstdSkippableRest = "\x2a\x4d\x18";
// windowBits of zlib: the largest, and a gzip header is wanted.
constexpr int kGzipWindowBits = 15 + 16;
// 128 MiB of memory at most: more than any encoder makes unasked.
constexpr int kZstdMaxWindowLog = 27;

class Plain final : public Decompressor {
 public:
  absl::StatusOr<Step> Decompress(absl::string_view input, absl::Span<char> output) override {
    const size_t bytes = std::min(input.size(), output.size());
    std::copy_n(input.begin(), bytes, output.begin());
    return Step{bytes, bytes};
  }
  bool AtEnd() const override { return true; }
};

// One member after the other, as RFC 1952, 2.2 has it.
class Gzip final : public Decompressor {
 public:
  Gzip() { MSB_CHECK(::inflateInit2(&stream_, kGzipWindowBits) == Z_OK); }
  ~Gzip() override { ::inflateEnd(&stream_); }

  absl::StatusOr<Step> Decompress(absl::string_view input, absl::Span<char> output) override {
    if (std::exchange(at_end_, false)) ::inflateReset(&stream_);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream_.avail_in = static_cast<uInt>(input.size());
    stream_.next_out = reinterpret_cast<Bytef*>(output.data());
    stream_.avail_out = static_cast<uInt>(output.size());
    const int result = ::inflate(&stream_, Z_NO_FLUSH);
    MSB_CHECK(result != Z_STREAM_ERROR);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
      return MakeError(result == Z_MEM_ERROR ? Reason::kHostOutOfMemory : Reason::kImageInvalid,
                       absl::StrCat("gzip: ", stream_.msg == nullptr ? "error" : stream_.msg));
    }
    at_end_ = result == Z_STREAM_END;
    return Step{input.size() - stream_.avail_in, output.size() - stream_.avail_out};
  }
  bool AtEnd() const override { return at_end_; }

 private:
  z_stream stream_ = {};
  bool at_end_ = false;
};

// One frame after the other; skippable ones come to nothing.
class Zstd final : public Decompressor {
 public:
  Zstd() : stream_(::ZSTD_createDStream()) {
    MSB_CHECK(stream_ != nullptr);
    ::ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kZstdMaxWindowLog);
  }
  ~Zstd() override { ::ZSTD_freeDStream(stream_); }

  absl::StatusOr<Step> Decompress(absl::string_view input, absl::Span<char> output) override {
    ZSTD_inBuffer in = {input.data(), input.size(), 0};
    ZSTD_outBuffer out = {output.data(), output.size(), 0};
    const size_t result = ::ZSTD_decompressStream(stream_, &out, &in);
    if (::ZSTD_isError(result) != 0) {
      return MakeError(Reason::kImageInvalid, absl::StrCat("zstd: ", ::ZSTD_getErrorName(result)));
    }
    at_end_ = result == 0;
    return Step{in.pos, out.pos};
  }
  bool AtEnd() const override { return at_end_; }

 private:
  ZSTD_DStream* const stream_;
  bool at_end_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Decompressor>> Decompressor::For(absl::string_view beginning) {
  if (absl::StartsWith(beginning, kGzipMagic)) return std::make_unique<Gzip>();
  if (absl::StartsWith(beginning, kZstdMagic) ||
      absl::StartsWith(beginning.substr(std::min<size_t>(1, beginning.size())),
                       kZstdSkippableRest)) {
    return std::make_unique<Zstd>();
  }
  constexpr std::pair<absl::string_view, absl::string_view> kOthers[] = {
      {"BZh", "bzip2"}, {"\xfd\x37zXZ", "xz"}, {"\x04\x22\x4d\x18", "lz4"}};
  for (const auto& [magic, name] : kOthers) {
    if (!absl::StartsWith(beginning, magic)) continue;
    return MakeError(
        Reason::kImageUnsupported,
        absl::StrCat("a layer that is compressed with ", name, "; gzip, zstd and none are read"));
  }
  return std::make_unique<Plain>();
}

}  // namespace msb::image
