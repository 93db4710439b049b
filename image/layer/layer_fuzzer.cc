// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Layers of a hostile registry: the input is a blob as it stands, or entries with right checksums
// in any order and combination. Whatever comes is refused with a reason, or becomes a file system
// that contradicts itself nowhere.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "base/unique_fd.h"
#include "image/layer/build_layer.h"
#include "tests/support/fuzz_input.h"
#include "tests/support/image/erofs_reader.h"
#include "tests/support/image/tar_builder.h"

namespace msb::image {
namespace {

constexpr LayerLimits kLimits = {.max_bytes = {uint64_t{4} << 20, ""},
                                 .max_entries = 200,
                                 .max_name_bytes = 300,
                                 .max_compression_ratio = 1100};

// Few names, so that entries meet each other.
std::string TakeName(FuzzInput& input) {
  constexpr const char* kParts[] = {
      "a", "b",         "c",    "..",           ".",   "", ".wh.a", ".wh.b", ".wh.",
      "-", ".wh..wh.x", "\xff", ".wh..wh..opq", "long"};
  std::string name;
  for (int parts = 1 + input.Take<uint8_t>() % 3; parts > 0; --parts) {
    const std::string part = kParts[input.Take<uint8_t>() % std::size(kParts)];
    name += (name.empty() ? "" : "/") + (part == "long" ? std::string(120, 'l') : part);
  }
  return name;
}

std::string TakeContent(FuzzInput& input) {
  const size_t size = input.Take<uint16_t>() % 20'000;
  const absl::Span<const uint8_t> bytes = input.TakeBytes(std::min<size_t>(size, 64));
  std::string content(size, 'x');
  std::copy(bytes.begin(), bytes.end(), content.begin());
  return content;
}

void AddEntry(FuzzInput& input, TarBuilder& tar) {
  constexpr char kTypes[] = {'0', '0', '1', '2', '3', '4', '5', '5',
                             '6', '7', 'S', 'L', 'K', 'g', 'Z', '\0'};
  constexpr const char* kKeys[] = {"path",
                                   "linkpath",
                                   "size",
                                   "uid",
                                   "mtime",
                                   "SCHILY.xattr.user.a",
                                   "SCHILY.xattr.trusted.overlay.opaque",
                                   "SCHILY.xattr.security.capability",
                                   "SCHILY.xattr.other.a",
                                   "GNU.sparse.major",
                                   "GNU.sparse.minor",
                                   "GNU.sparse.map",
                                   "GNU.sparse.size",
                                   "GNU.sparse.offset",
                                   "GNU.sparse.numbytes",
                                   "GNU.sparse.name"};
  TarBuilder::Entry entry;
  entry.type = kTypes[input.Take<uint8_t>() % std::size(kTypes)];
  entry.name = TakeName(input);
  entry.link = TakeName(input);
  if (entry.type != '2' && entry.type != '5') entry.content = TakeContent(input);
  entry.mode = input.Take<uint16_t>();
  entry.uid = input.Take<uint32_t>();
  entry.mtime = input.Take<int32_t>();
  entry.dev_major = input.Take<uint8_t>() % 3;
  for (int records = input.Take<uint8_t>() % 4; records > 0; --records) {
    const char* const key = kKeys[input.Take<uint8_t>() % std::size(kKeys)];
    const absl::Span<const uint8_t> value = input.TakeBytes(input.Take<uint8_t>() % 40);
    entry.pax.emplace_back(key, std::string(value.begin(), value.end()));
  }
  tar.Add(entry);
}

std::string MakeBlob(FuzzInput input) {
  if (input.Take<uint8_t>() % 2 == 0) {
    const absl::Span<const uint8_t> rest = input.TakeBytes(SIZE_MAX);
    return std::string(rest.begin(), rest.end());
  }
  TarBuilder tar;
  for (int entries = 0; entries < 100 && !input.empty(); ++entries) AddEntry(input, tar);
  return tar.Finish();
}

std::string ReadAll(int fd, size_t bytes) {
  std::string content(bytes, '\0');
  MSB_CHECK(::pread(fd, content.data(), bytes, 0) == static_cast<ssize_t>(bytes));
  return content;
}

void Fuzz(const std::string& blob) {
  const UniqueFd in(::memfd_create("blob", MFD_CLOEXEC));
  const UniqueFd out(::memfd_create("erofs", MFD_CLOEXEC));
  MSB_CHECK(::write(in.get(), blob.data(), blob.size()) == static_cast<ssize_t>(blob.size()));
  const auto built = BuildLayer(in.get(), out.get(), "", kLimits,
                                [](uint64_t, uint64_t) { return absl::OkStatus(); });
  if (!built.ok()) {
    const Reason reason = ReasonOf(built.status());
    MSB_CHECK(reason == Reason::kImageInvalid || reason == Reason::kImageTooLarge ||
              reason == Reason::kImageUnsupported);
    return;
  }
  MSB_CHECK(built->erofs_bytes <= kLimits.max_bytes.bytes + 4096);
  const auto tree = ReadErofs(ReadAll(out.get(), built->erofs_bytes));
  MSB_CHECK(tree.ok() && tree->size() == built->entries);
}

}  // namespace
}  // namespace msb::image

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::image::Fuzz(msb::image::MakeBlob(msb::FuzzInput(data, size)));
  return 0;
}
