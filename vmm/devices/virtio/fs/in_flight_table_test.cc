// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/fs/in_flight_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

InFlightTable Made() {
  auto table = InFlightTable::Create();
  MSB_CHECK(table.ok());
  return *std::move(table);
}

TEST(InFlightTableTest, ShowsTheOtherSideWhatIsUnderWay) {
  const InFlightTable vmm = Made();
  ASSERT_OK_AND_ASSIGN(InFlightTable server, InFlightTable::Map(UniqueFd(::dup(vmm.file()))));
  EXPECT_TRUE(server.Add(0, 3));
  EXPECT_TRUE(server.Add(1, 3));
  EXPECT_TRUE(server.Add(1, 5));
  EXPECT_FALSE(server.Add(1, 5));
  EXPECT_THAT(vmm.Unanswered(0, 8, 0), ElementsAre(3));
  EXPECT_THAT(vmm.Unanswered(1, 8, 0), ElementsAre(3, 5));
  server.BeginAnswer(1, 3, 0);
  server.EndAnswer(1, 3);
  EXPECT_THAT(vmm.Unanswered(1, 8, 1), ElementsAre(5));
}

TEST(InFlightTableTest, TellsByTheRingWhetherAnAnswerWasGiven) {
  InFlightTable table = Made();
  table.Add(1, 3);
  table.BeginAnswer(1, 3, 0xffff);
  EXPECT_THAT(table.Unanswered(1, 8, 0xffff), ElementsAre(3));
  EXPECT_THAT(table.Unanswered(1, 8, 0), IsEmpty());  // the index has wrapped
}

TEST(InFlightTableTest, BelievesNoHeadBeyondTheQueue) {
  InFlightTable table = Made();
  for (uint16_t head = 0; head < fs_handover::kMaxQueueSize; ++head) table.Add(0, head);
  table.BeginAnswer(0, 0x7fff, 0);
  EXPECT_THAT(table.Unanswered(0, 4, 1), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(table.Unanswered(0, 0xffff, 1), SizeIs(fs_handover::kMaxQueueSize));
  table.Clear();
  EXPECT_THAT(table.Unanswered(0, 4, 1), IsEmpty());
}

TEST(InFlightTableTest, TakesNoFileThatCanBeResizedOrHasAnotherSize) {
  const auto refuses = [](off_t bytes, int seals) {
    UniqueFd file(::memfd_create("table", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    MSB_CHECK(::ftruncate(file.get(), bytes) == 0 && ::fcntl(file.get(), F_ADD_SEALS, seals) == 0);
    return !InFlightTable::Map(std::move(file)).ok();
  };
  const off_t right = ::lseek(Made().file(), 0, SEEK_END);
  EXPECT_FALSE(refuses(right, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  EXPECT_TRUE(refuses(right, F_SEAL_GROW | F_SEAL_SEAL));
  EXPECT_TRUE(refuses(right - 1, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  EXPECT_TRUE(refuses(0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  EXPECT_FALSE(InFlightTable::Map(UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC))).ok());
}

}  // namespace
}  // namespace msb
