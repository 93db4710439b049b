// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include "tests/support/supervisor/api/api_fixture.h"

namespace msb {
namespace {

namespace api = msb::v1;
using Stub = api::VolumeService::Stub;

class VolumeServiceTest : public ApiFixture {
 protected:
  template <typename Request>
  static Request Named(const std::string& name) {
    Request request;
    request.set_name(name);
    return request;
  }
};

TEST_F(VolumeServiceTest, CarriesAVolumeThroughItsLife) {
  auto create = Named<api::CreateVolumeRequest>("data");
  create.set_size_mib(24);
  api::Volume volume;
  ASSERT_TRUE(Call(volumes_, &Stub::Create, create, volume).ok());
  EXPECT_EQ(volume.size_mib(), 24u);
  EXPECT_EQ(volume.kind(), api::VOLUME_KIND_DISK);

  api::ListVolumesResponse list;
  ASSERT_TRUE(Call(volumes_, &Stub::List, api::ListVolumesRequest(), list).ok());
  ASSERT_EQ(list.volumes_size(), 1);
  EXPECT_TRUE(Call(volumes_, &Stub::Get, Named<api::GetVolumeRequest>("data")).ok());

  EXPECT_TRUE(Call(volumes_, &Stub::Remove, Named<api::RemoveVolumeRequest>("data")).ok());
  EXPECT_EQ(Call(volumes_, &Stub::Get, Named<api::GetVolumeRequest>("data")).reason,
            "VOLUME_NOT_FOUND");
}

TEST_F(VolumeServiceTest, RefusesWhatIsNoVolume) {
  EXPECT_EQ(Call(volumes_, &Stub::Create, Named<api::CreateVolumeRequest>("a/b")).reason,
            "INVALID_NAME");
  auto odd = Named<api::CreateVolumeRequest>("data");
  odd.set_kind(static_cast<api::VolumeKind>(77));
  EXPECT_EQ(Call(volumes_, &Stub::Create, odd).reason, "INVALID_ARGUMENT");
  EXPECT_EQ(Call(volumes_, &Stub::Remove, Named<api::RemoveVolumeRequest>("data")).reason,
            "VOLUME_NOT_FOUND");
}

}  // namespace
}  // namespace msb
