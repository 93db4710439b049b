// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/flow/limits.h"

#include "tests/support/matchers.h"

namespace msb::net {
namespace {

const absl::Time kNow = absl::UnixEpoch();

TEST(TokenBucketTest, GivesATenthOfASecondAtOnceAndThenItsRate) {
  TokenBucket bucket(1000);
  bucket.Take(100, kNow);
  EXPECT_EQ(bucket.Wait(kNow), absl::ZeroDuration());
  bucket.Take(500, kNow);
  EXPECT_EQ(bucket.Wait(kNow), absl::Milliseconds(500));
  EXPECT_EQ(bucket.Wait(kNow + absl::Milliseconds(200)), absl::Milliseconds(300));
  EXPECT_EQ(bucket.Wait(kNow + absl::Milliseconds(500)), absl::ZeroDuration());
}

TEST(TokenBucketTest, SavesNothingUpBeyondThat) {
  TokenBucket bucket(1000);
  bucket.Take(1, kNow);
  const absl::Time later = kNow + absl::Hours(1);
  bucket.Take(200, later);
  EXPECT_EQ(bucket.Wait(later), absl::Milliseconds(100));
}

TEST(TokenBucketTest, OutlivesAClockThatIsSetBack) {
  TokenBucket bucket(1000);
  bucket.Take(600, kNow);
  EXPECT_EQ(bucket.Wait(kNow - absl::Hours(1)), absl::Milliseconds(500));
  EXPECT_EQ(bucket.Wait(kNow - absl::Hours(1) + absl::Milliseconds(500)), absl::ZeroDuration());
}

TEST(TokenBucketTest, HasNoLimitAtZero) {
  TokenBucket bucket(0);
  bucket.Take(uint64_t{1} << 60, kNow);
  EXPECT_EQ(bucket.Wait(kNow), absl::ZeroDuration());
}

}  // namespace
}  // namespace msb::net
