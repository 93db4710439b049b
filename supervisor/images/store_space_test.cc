// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/store_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/error.h"
#include "supervisor/config/settings.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::HasSubstr;

class StoreSpaceTest : public testing::Test {
 protected:
  StoreSpaceTest()
      : config_(DefaultConfig().images),
        content_(*ContentStore::Open(dir_.path() + "/store")),
        space_(config_, content_) {
    config_.store_mib = 16;
  }
  // An operation with a folder of its own, as pulls and loads have.
  std::string Folder(const std::string& name) const {
    std::filesystem::create_directories(content_.staging() + "/" + name);
    return content_.staging() + "/" + name;
  }
  absl::StatusOr<StoreSpace::Share> Reserve(const std::string& name, uint64_t bytes) {
    return space_.Reserve(bytes, [folder = Folder(name)] { return DiskUsage(folder); });
  }
  void Write(const std::string& name, uint64_t bytes) {
    Folder(name);
    dir_.Write("store/staging/" + name + "/file", std::string(bytes, 'x'));
  }

  TempDir dir_;
  ImagesConfig config_;
  ContentStore content_;
  StoreSpace space_;
};

TEST_F(StoreSpaceTest, WhatOneWasPromisedNoOtherGets) {
  const uint64_t almost_all = 16 * kBytesPerMib - kBytesPerMib / 2;
  {
    ASSERT_OK_AND_ASSIGN(const StoreSpace::Share one, Reserve("one", 10 * kBytesPerMib));
    const absl::Status refused = Reserve("two", almost_all).status();
    EXPECT_THAT(refused, HasReason(Reason::kNoSpace));
    EXPECT_THAT(std::string(refused.message()),
                HasSubstr("1 MiB are promised to pulls and loads that run, and 16 MiB more"));
    EXPECT_THAT(std::string(refused.message()), HasSubstr("try again when the others have ended"));
  }
  EXPECT_OK(Reserve("two", almost_all));
}

TEST_F(StoreSpaceTest, WhatOneAnnouncesKeepsNoOtherAway) {
  EXPECT_THAT(Reserve("one", 17 * kBytesPerMib), HasReason(Reason::kNoSpace));
  ASSERT_OK_AND_ASSIGN(const StoreSpace::Share one, Reserve("one", 14 * kBytesPerMib));
  ASSERT_OK(one.Follow());
  EXPECT_OK(Reserve("two", 14 * kBytesPerMib));
}

TEST_F(StoreSpaceTest, WhatIsBegunAnewIsCountedAsWritten) {
  Write("one", 8 * kBytesPerMib);  // of an earlier life
  ASSERT_OK_AND_ASSIGN(const StoreSpace::Share one, Reserve("one", 4 * kBytesPerMib));
  Write("one", 0);
  ASSERT_OK(one.Follow());
  Write("two", 10 * kBytesPerMib);
  Write("one", 7 * kBytesPerMib);
  EXPECT_THAT(one.Follow(), HasReason(Reason::kNoSpace));
}

TEST_F(StoreSpaceTest, WhatWasWrittenIsCountedOnce) {
  Write("one", 4 * kBytesPerMib);  // of an earlier life
  ASSERT_OK_AND_ASSIGN(const StoreSpace::Share one, Reserve("one", 4 * kBytesPerMib));
  Write("one", 8 * kBytesPerMib);
  EXPECT_THAT(Reserve("two", 9 * kBytesPerMib), HasReason(Reason::kNoSpace));
  EXPECT_OK(Reserve("two", 7 * kBytesPerMib));
}

TEST_F(StoreSpaceTest, OfTwoThatGrowTheOneFailsForWhichThereIsNoRoom) {
  ASSERT_OK_AND_ASSIGN(const StoreSpace::Share one, Reserve("one", 0));
  ASSERT_OK_AND_ASSIGN(const StoreSpace::Share two, Reserve("two", 0));
  ASSERT_OK(one.Follow());
  ASSERT_OK(two.Follow());
  Write("one", 9 * kBytesPerMib);
  EXPECT_OK(one.Follow());
  Write("two", 8 * kBytesPerMib);
  const absl::Status refused = two.Follow();
  EXPECT_THAT(refused, HasReason(Reason::kNoSpace));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("images.store_mib = 16"));
  EXPECT_OK(one.Follow());
}

TEST_F(StoreSpaceTest, AShareHasRoomForItsOwnAndForWhatIsFree) {
  ASSERT_OK_AND_ASSIGN(const StoreSpace::Share one, Reserve("one", 4 * kBytesPerMib));
  ASSERT_OK_AND_ASSIGN(const StoreSpace::Share two, Reserve("two", 0));
  EXPECT_LE(two.Room(), 15 * kBytesPerMib);
  EXPECT_GT(two.Room(), 14 * kBytesPerMib);
  EXPECT_GT(one.Room(), 15 * kBytesPerMib);
}

TEST_F(StoreSpaceTest, AStoreWithoutALimitHasRoomForAll) {
  config_.store_mib = 0;
  ASSERT_OK_AND_ASSIGN(const StoreSpace::Share one, Reserve("one", uint64_t{1} << 50));
  EXPECT_OK(one.Follow());
  EXPECT_EQ(one.Room(), UINT64_MAX);
}

}  // namespace
}  // namespace msb
