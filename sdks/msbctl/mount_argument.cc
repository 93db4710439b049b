// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/mount_argument.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/output.h"

namespace msb {
namespace {

// Made absolute here, since the daemon has another working directory. By its letters alone: what
// its links mean is the daemon's to find out, with our rights.
std::string AbsolutePath(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  std::string text = (error ? std::filesystem::path(path) : absolute).lexically_normal().string();
  if (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

bool LooksLikePath(absl::string_view source) {
  return absl::StrContains(source, '/') || absl::StartsWith(source, ".");
}

// The size behind "quota="; false for none.
bool TakeQuota(absl::string_view size, msb::v1::Mount& mount) {
  const absl::StatusOr<uint32_t> mib = ParseMebibytes(size);
  if (!mib.ok() || *mib == 0) return false;
  mount.set_quota_bytes(uint64_t{*mib} << 20);
  return true;
}

// One of ro, rw, quota=SIZE, uid=N, gid=N; false for another.
bool TakeOption(absl::string_view option, msb::v1::Mount& mount) {
  if (option == "ro" || option == "rw") {
    mount.set_read_only(option == "ro");
    return true;
  }
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(option, absl::MaxSplits('=', 1));
  if (parts.first == "quota") return TakeQuota(parts.second, mount);
  uint32_t id = 0;
  if (!mount.has_host() || !absl::SimpleAtoi(parts.second, &id)) return false;
  if (parts.first == "uid") mount.mutable_host()->set_guest_uid(id);
  if (parts.first == "gid") mount.mutable_host()->set_guest_gid(id);
  return parts.first == "uid" || parts.first == "gid";
}

size_t DepthOf(const msb::v1::Mount& mount) {
  const std::vector<absl::string_view> parts = absl::StrSplit(mount.path(), '/', absl::SkipEmpty());
  return parts.size();
}

}  // namespace

absl::StatusOr<msb::v1::Mount> ParseMount(const std::string& word, MountSource source) {
  const std::vector<std::string> parts = absl::StrSplit(word, ':');
  const absl::Status wrong =
      MakeError(Reason::kInvalidArgument,
                absl::StrCat("'", word, "' is no SOURCE:PATH[:OPTIONS], such as ./src:/src:ro"));
  if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || parts[1].empty()) return wrong;
  msb::v1::Mount mount;
  if (source == MountSource::kHostPath || LooksLikePath(parts[0])) {
    mount.mutable_host()->set_path(AbsolutePath(parts[0]));
  } else {
    mount.mutable_volume()->set_name(parts[0]);
  }
  mount.set_path(parts[1]);
  if (parts.size() == 2) return mount;
  for (absl::string_view option : absl::StrSplit(parts[2], ',')) {
    if (TakeOption(option, mount)) continue;
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("'", word, "': '", option, "' is none of ro, rw, quota=SIZE",
                                  mount.has_host() ? ", uid=N, gid=N" : ""));
  }
  return mount;
}

absl::StatusOr<msb::v1::Mount> ParseTmpfs(const std::string& word) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(word, absl::MaxSplits(':', 1));
  msb::v1::Mount mount;
  mount.set_path(parts.first);
  mount.mutable_tmpfs();
  if (parts.second.empty()) return mount;
  MSB_ASSIGN_OR_RETURN(const uint32_t mib, ParseMebibytes(parts.second));
  mount.mutable_tmpfs()->set_size_mib(mib);
  return mount;
}

void SortMounts(google::protobuf::RepeatedPtrField<msb::v1::Mount>& mounts) {
  std::stable_sort(
      mounts.begin(), mounts.end(),
      [](const msb::v1::Mount& a, const msb::v1::Mount& b) { return DepthOf(a) < DepthOf(b); });
}

}  // namespace msb
