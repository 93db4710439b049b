// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// usage: build-layer TAR EROFS: what msb-image does with one layer, for tests and by hand.

#include <fcntl.h>

#include <cstdio>
#include <string>

#include "base/unique_fd.h"
#include "image/layer/build_layer.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: build-layer TAR EROFS\n");
    return 2;
  }
  const msb::UniqueFd tar(::open(argv[1], O_RDONLY | O_CLOEXEC));
  const msb::UniqueFd erofs(::open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!tar.valid() || !erofs.valid()) {
    std::perror("build-layer");
    return 1;
  }
  const auto built = msb::image::BuildLayer(tar.get(), erofs.get(), "", {},
                                            [](uint64_t, uint64_t) { return absl::OkStatus(); });
  if (!built.ok()) {
    std::fprintf(stderr, "build-layer: %s\n", std::string(built.status().message()).c_str());
    return 1;
  }
  std::printf("%s %llu entries, %llu bytes\n", built->diff_id.c_str(),
              static_cast<unsigned long long>(built->entries),
              static_cast<unsigned long long>(built->erofs_bytes));
  return 0;
}
