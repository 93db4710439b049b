// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/layers.h"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

// Of a directory below the working directory, named by its number: overlayfs takes the list of all
// in one page.
absl::Status MountLayer(const std::string& device, const std::string& type,
                        const std::string& name) {
  if (::mkdir(name.c_str(), 0755) == 0 &&
      ::mount(device.c_str(), name.c_str(), type.c_str(), MS_RDONLY, "") == 0) {
    return absl::OkStatus();
  }
  return ErrnoError(Reason::kSandboxStartFailed, absl::StrCat("mount layer ", device), errno);
}

absl::Status AddPartition(const UniqueFd& disk, int number, uint64_t start, uint64_t end) {
  blkpg_partition partition = {};
  partition.start = static_cast<long long>(start);
  partition.length = static_cast<long long>(end - start);
  partition.pno = number;
  blkpg_ioctl_arg argument = {
      .op = BLKPG_ADD_PARTITION, .flags = 0, .datalen = sizeof(partition), .data = &partition};
  if (::ioctl(disk.get(), BLKPG, &argument) == 0) return absl::OkStatus();
  return ErrnoError(Reason::kSandboxStartFailed, absl::StrCat("make layer ", number), errno);
}

// overlayfs asks this of every directory but the roots of its layers.
bool HidesAllBelow(const std::string& layer) {
  char value = '\0';
  return ::getxattr(layer.c_str(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

}  // namespace

std::vector<uint64_t> LayerOffsets(const std::vector<uint64_t>& layer_blocks) {
  std::vector<uint64_t> offsets = {0};
  for (const uint64_t blocks : layer_blocks) {
    offsets.push_back(offsets.back() + blocks * kLayerBlockBytes);
  }
  return offsets;
}

absl::StatusOr<std::string> MountImage(const BootParameters& parameters) {
  const size_t count = parameters.layer_blocks.size();
  if (count == 0) {
    MSB_RETURN_IF_ERROR(MountLayer(parameters.root, parameters.root_type, "1"));
    return std::string("1");
  }
  const UniqueFd disk(::open(parameters.root.c_str(), O_RDONLY | O_CLOEXEC));
  if (!disk.valid()) return ErrnoError(Reason::kSandboxStartFailed, parameters.root, errno);
  const std::vector<uint64_t> offsets = LayerOffsets(parameters.layer_blocks);
  std::string lower;
  for (size_t number = count; number > 0; --number) {
    MSB_RETURN_IF_ERROR(
        AddPartition(disk, static_cast<int>(number), offsets[number - 1], offsets[number]));
    const std::string name = absl::StrCat(number);
    MSB_RETURN_IF_ERROR(
        MountLayer(absl::StrCat(parameters.root, name), parameters.root_type, name));
    absl::StrAppend(&lower, lower.empty() ? "" : ":", name);
    if (HidesAllBelow(name)) break;
  }
  return lower;
}

}  // namespace msb
