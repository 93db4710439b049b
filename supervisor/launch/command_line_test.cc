// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/command_line.h"

#include <gtest/gtest.h>

namespace msb {
namespace {

TEST(GuestCommandLineTest, NamesTheImageAndItsWritableLayer) {
  LaunchSpec spec;
  spec.disks = {{.id = "root"}, {.id = "layer", .read_only = false}};
  spec.command_line = "msb.hostname=box";

  EXPECT_EQ(GuestCommandLine(spec, {}),
            "quiet loglevel=4 msb.root=/dev/vda msb.rootfstype=erofs msb.overlay=disk "
            "msb.overlay_device=/dev/vdb msb.hostname=box");
}

TEST(GuestCommandLineTest, TakesTheFirstWritableDiskAsLayer) {
  LaunchSpec spec;
  spec.disks = {{.id = "root"},
                {.id = "data"},
                {.id = "layer", .read_only = false},
                {.id = "volume", .read_only = false}};

  EXPECT_NE(GuestCommandLine(spec, {}).find("msb.overlay_device=/dev/vdc"), std::string::npos);
}

TEST(GuestCommandLineTest, KeepsTheLayerInMemoryWithoutAWritableDisk) {
  LaunchSpec spec;
  spec.disks = {{.id = "root"}};

  EXPECT_EQ(GuestCommandLine(spec, {}),
            "quiet loglevel=4 msb.root=/dev/vda msb.rootfstype=erofs msb.overlay=tmpfs");
}

TEST(GuestCommandLineTest, NamesTheLayersOfAnImageOfSeveral) {
  LaunchSpec spec;
  spec.disks = {{.id = "root"}};

  EXPECT_EQ(GuestCommandLine(spec, {8192}).find("msb.layers"), std::string::npos);
  EXPECT_NE(GuestCommandLine(spec, {8192, 4096 * 26, uint64_t{1} << 40})
                .find(" msb.layers=2,1a,10000000 "),
            std::string::npos);
}

TEST(GuestCommandLineTest, SaysNothingOfARootWithoutDisks) {
  EXPECT_EQ(GuestCommandLine(LaunchSpec{}, {}), "quiet loglevel=4");
}

}  // namespace
}  // namespace msb
