// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "guest-agent/boot/layers.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

TEST(ParametersTest, HasDefaultsForAnEmptyLine) {
  ASSERT_OK_AND_ASSIGN(const BootParameters parameters,
                       ParseBootParameters("console=ttyS0 quiet\n"));
  EXPECT_EQ(parameters.root, "/dev/vda");
  EXPECT_EQ(parameters.root_type, "erofs");
  EXPECT_EQ(parameters.overlay, BootParameters::Overlay::kAuto);
  EXPECT_EQ(parameters.overlay_device, "/dev/vdb");
  EXPECT_EQ(parameters.hostname, "sandbox");
}

TEST(ParametersTest, TakesEveryWord) {
  ASSERT_OK_AND_ASSIGN(
      const BootParameters parameters,
      ParseBootParameters("quiet msb.root=/dev/vdc msb.rootfstype=squashfs msb.overlay=disk "
                          "msb.overlay_device=/dev/vdd msb.hostname=box msb.address=10.0.2.15/24 "
                          "msb.gateway=10.0.2.2 msb.dns=10.0.2.3,1.1.1.1 panic=-1"));
  EXPECT_EQ(parameters.root, "/dev/vdc");
  EXPECT_EQ(parameters.root_type, "squashfs");
  EXPECT_EQ(parameters.overlay, BootParameters::Overlay::kDisk);
  EXPECT_EQ(parameters.overlay_device, "/dev/vdd");
  EXPECT_EQ(parameters.hostname, "box");
  EXPECT_EQ(parameters.address, "10.0.2.15/24");
  EXPECT_EQ(parameters.gateway, "10.0.2.2");
  EXPECT_EQ(parameters.dns, "10.0.2.3,1.1.1.1");
}

TEST(ParametersTest, TakesTheSizesOfLayers) {
  ASSERT_OK_AND_ASSIGN(const BootParameters parameters, ParseBootParameters("msb.layers=2,1a,9"));
  EXPECT_THAT(parameters.layer_blocks, testing::ElementsAre(2, 26, 9));
  for (const char* line : {"msb.layers=", "msb.layers=1,", "msb.layers=0", "msb.layers=x",
                           "msb.layers=-1", "msb.layers=ffffffffffffffff,1"}) {
    EXPECT_THAT(ParseBootParameters(line), HasReason(Reason::kInvalidArgument)) << line;
  }
}

TEST(ParametersTest, PutsLayersBehindEachOther) {
  EXPECT_THAT(LayerOffsets({2, 26, 9}), testing::ElementsAre(0, 8192, 114688, 151552));
}

TEST(ParametersTest, RefusesWhatItDoesNotKnow) {
  const std::string long_name = "msb.hostname=" + std::string(65, 'x');
  for (const char* line : {"msb.rot=/dev/vda", "msb.overlay=floppy", "msb.root=", "msb.root",
                           "msb.", long_name.c_str()}) {
    EXPECT_THAT(ParseBootParameters(line), HasReason(Reason::kInvalidArgument)) << line;
  }
}

TEST(ParametersTest, TheHostMayHaveThemInstead) {
  EXPECT_EQ(ParseBootParameters("quiet")->source, BootParameters::Source::kCommandLine);
  EXPECT_EQ(ParseBootParameters("quiet msb.parameters=host")->source,
            BootParameters::Source::kHost);
  EXPECT_THAT(ParseBootParameters("msb.parameters=guest"), HasReason(Reason::kInvalidArgument));
}

}  // namespace
}  // namespace msb
