// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/balloon_device.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/event_loop.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"

namespace msb {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::SizeIs;
using virtio::UsedElement;

constexpr uint64_t kPage = virtio::kBalloonPageBytes;
constexpr uint64_t kMemoryBytes = uint64_t{8} << 20;

class CountingNotifier final : public ConfigChangeNotifier {
 public:
  void OnConfigChanged() override { ++changes; }
  int changes = 0;
};

class BalloonDeviceTest : public testing::Test {
 protected:
  BalloonDeviceTest() {
    balloon_.set_notifier(&notifier_);
    MSB_CHECK(balloon_.Activate(balloon_.features(), guest_.virtqueues()).ok());
  }

  // A page of the guest that is full of sevens; its number.
  uint32_t TouchedPage() {
    const GuestRange page = guest_.Allocate(kPage, kPage);
    guest_.Write(page.start, std::string(kPage, '\7'));
    return static_cast<uint32_t>(ToUint64(page.start) / kPage);
  }
  std::string PageText(uint32_t page) const {
    return guest_.Read({GuestAddress{page * kPage}, kPage});
  }
  absl::Status Inflate(const std::vector<uint32_t>& pages) {
    const absl::string_view list(reinterpret_cast<const char*>(pages.data()),
                                 pages.size() * sizeof(uint32_t));
    guest_.queue(0).AddReadable(list);
    return balloon_.OnNotify(0);
  }
  virtio::BalloonConfig Config() const {
    virtio::BalloonConfig config;
    MSB_CHECK(balloon_.config().size() == sizeof(config));
    std::memcpy(&config, balloon_.config().data(), sizeof(config));
    return config;
  }
  void WriteActual(uint32_t pages) {
    balloon_.WriteConfig(4, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&pages), 4));
  }

  // One turn of the loop.
  void Turn() {
    loop_->Post([this] { loop_->Stop(); });
    MSB_CHECK(loop_->Run().ok());
  }
  // A list of 500 pages of the upper half of memory, which the rings do not reach. No two are
  // neighbours, so that each is given back by itself.
  static std::string LonelyPages() {
    std::vector<uint32_t> pages;
    const uint64_t first = (ToUint64(FakeGuest::kMemoryStart) + kMemoryBytes / 2) / kPage;
    for (uint32_t i = 0; i < 500; ++i) pages.push_back(static_cast<uint32_t>(first + 2 * i));
    return std::string(reinterpret_cast<const char*>(pages.data()),
                       pages.size() * sizeof(uint32_t));
  }

  FakeGuest guest_{{.queue_sizes = {16, 8, 256}, .memory_bytes = kMemoryBytes}};
  const std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  CountingNotifier notifier_;
  BalloonDevice balloon_{*loop_, guest_.memory(), {}};
};

TEST_F(BalloonDeviceTest, GivesTheListedPagesBackToTheHost) {
  std::vector<uint32_t> pages;
  for (int i = 0; i < 6; ++i) pages.push_back(TouchedPage());
  // Three neighbours in a strange order, one twice, and one apart.
  ASSERT_OK(Inflate({pages[2], pages[0], pages[1], pages[1], pages[5]}));
  EXPECT_THAT(guest_.queue(0).Used(), ElementsAre(UsedElement{.id = 0, .length = 0}));
  for (const int gone : {0, 1, 2, 5}) EXPECT_THAT(PageText(pages[gone]), Each('\0')) << gone;
  for (const int kept : {3, 4}) EXPECT_THAT(PageText(pages[kept]), Each('\7')) << kept;
  EXPECT_EQ(guest_.queue(0).interrupts(), 1);
}

TEST_F(BalloonDeviceTest, TakesMorePagesThanItCopiesAtATime) {
  std::vector<uint32_t> pages;
  for (int i = 0; i < 1500; ++i) pages.push_back(TouchedPage());
  std::reverse(pages.begin(), pages.end());
  ASSERT_OK(Inflate(pages));
  for (const uint32_t page : pages) ASSERT_EQ(PageText(page), std::string(kPage, '\0'));
}

TEST_F(BalloonDeviceTest, LooksAfterOthersOnceItHasGivenMuchBack) {
  constexpr size_t kEnough = BalloonDevice::kMaxDiscardsPerTurn / 500 + 1;
  for (size_t i = 0; i < kEnough + 1; ++i) guest_.queue(0).AddReadable(LonelyPages());

  ASSERT_OK(balloon_.OnNotify(0));

  EXPECT_THAT(guest_.queue(0).Used(), SizeIs(kEnough));
  Turn();
  EXPECT_THAT(guest_.queue(0).Used(), SizeIs(1));
}

TEST_F(BalloonDeviceTest, LooksAfterOthersBeforeItGoesOnWithALongRow) {
  const uint32_t page = TouchedPage();
  for (int i = 0; i < BalloonDevice::kMaxRequestsPerTurn + 1; ++i) {
    guest_.queue(2).AddChain(
        {{{GuestAddress{page * kPage}, kPage}, FakeBuffer::Access::kWritable}});
  }
  ASSERT_OK(balloon_.OnNotify(2));
  EXPECT_THAT(guest_.queue(2).Used(), SizeIs(BalloonDevice::kMaxRequestsPerTurn));
  Turn();
  EXPECT_THAT(guest_.queue(2).Used(), SizeIs(1));
}

TEST_F(BalloonDeviceTest, LetsTheGuestHaveItsPagesBack) {
  const uint32_t page = TouchedPage();
  ASSERT_OK(Inflate({page}));
  guest_.queue(1).AddReadable(
      absl::string_view(reinterpret_cast<const char*>(&page), sizeof(page)));
  ASSERT_OK(balloon_.OnNotify(1));
  EXPECT_THAT(guest_.queue(1).Used(), SizeIs(1));
  guest_.Write(GuestAddress{page * kPage}, "again");
  EXPECT_EQ(PageText(page).substr(0, 5), "again");
}

TEST_F(BalloonDeviceTest, RefusesPagesThatAreNotTheGuests) {
  const auto first = static_cast<uint32_t>(ToUint64(FakeGuest::kMemoryStart) / kPage);
  const auto end = static_cast<uint32_t>(first + kMemoryBytes / kPage);
  for (const uint32_t outside : {uint32_t{0}, first - 1, end, ~uint32_t{0}}) {
    EXPECT_THAT(Inflate({outside}), HasReason(Reason::kGuestViolation)) << outside;
  }
  // A run that begins inside and leaves.
  EXPECT_THAT(Inflate({end - 1, end}), HasReason(Reason::kGuestViolation));
}

TEST_F(BalloonDeviceTest, RefusesAListOfHalfAPageOrOfTooMany) {
  guest_.queue(0).AddReadable("abc");
  EXPECT_THAT(balloon_.OnNotify(0), HasReason(Reason::kGuestViolation));

  const uint32_t page = TouchedPage();
  EXPECT_THAT(Inflate(std::vector<uint32_t>(BalloonDevice::kMaxPagesPerRequest + 1, page)),
              HasReason(Reason::kGuestViolation));
}

TEST_F(BalloonDeviceTest, GivesReportedPagesBackToTheHost) {
  const uint32_t page = TouchedPage();
  TouchedPage();
  const uint32_t kept = TouchedPage();
  const FakeBuffer free{{GuestAddress{page * kPage}, 2 * kPage + 100},
                        FakeBuffer::Access::kWritable};
  guest_.queue(2).AddChain({free});
  ASSERT_OK(balloon_.OnNotify(2));
  EXPECT_THAT(guest_.queue(2).Used(), SizeIs(1));
  EXPECT_THAT(PageText(page), Each('\0'));
  EXPECT_THAT(PageText(page + 1), Each('\0'));
  EXPECT_THAT(PageText(kept), Each('\7'));
}

TEST_F(BalloonDeviceTest, IgnoresReportsThatWereNotAgreedOn) {
  balloon_.Reset();
  ASSERT_OK(balloon_.Activate(0, guest_.virtqueues()));
  const uint32_t page = TouchedPage();
  guest_.queue(2).AddChain({{{GuestAddress{page * kPage}, kPage}, FakeBuffer::Access::kWritable}});
  ASSERT_OK(balloon_.OnNotify(2));
  EXPECT_THAT(PageText(page), Each('\7'));
}

TEST_F(BalloonDeviceTest, TellsTheDriverItsTarget) {
  ASSERT_OK(balloon_.SetTargetMib(3));
  EXPECT_EQ(Config().target_pages, 768u);
  EXPECT_EQ(notifier_.changes, 1);
  EXPECT_THAT(balloon_.SetTargetMib(9), HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(balloon_.SetTargetMib(~0u), HasReason(Reason::kInvalidArgument));
  EXPECT_EQ(Config().target_pages, 768u);
}

TEST_F(BalloonDeviceTest, TakesTheDriversWordForWhatItGaveButNotMoreThanThereIs) {
  WriteActual(256);
  EXPECT_EQ(Config().actual_pages, 256u);
  EXPECT_EQ(balloon_.actual_bytes(), uint64_t{1} << 20);
  WriteActual(~0u);
  EXPECT_EQ(balloon_.actual_bytes(), kMemoryBytes);
}

TEST_F(BalloonDeviceTest, IgnoresWritesToItsOwnWish) {
  const std::vector<uint8_t> junk(8, 0xff);
  balloon_.WriteConfig(0, junk);
  balloon_.WriteConfig(0, absl::MakeConstSpan(junk).first(4));
  balloon_.WriteConfig(4, absl::MakeConstSpan(junk).first(2));
  EXPECT_EQ(Config().target_pages, 0u);
  EXPECT_EQ(Config().actual_pages, 0u);
}

TEST_F(BalloonDeviceTest, OffersOnlyWhatItWasMadeWith) {
  EXPECT_EQ(balloon_.features(),
            virtio::kBalloonFeatureDeflateOnOom | virtio::kBalloonFeatureReporting);
  EXPECT_THAT(balloon_.max_queue_sizes(), SizeIs(3));
  const BalloonDevice plain(*loop_, guest_.memory(),
                            {.deflate_on_oom = false, .free_page_reporting = false});
  EXPECT_EQ(plain.features(), 0u);
  EXPECT_THAT(plain.max_queue_sizes(), SizeIs(2));
}

TEST_F(BalloonDeviceTest, ForgetsWhatWasGivenAtAReset) {
  ASSERT_OK(balloon_.SetTargetMib(2));
  WriteActual(256);
  balloon_.Reset();
  EXPECT_EQ(balloon_.actual_bytes(), 0u);
  EXPECT_EQ(Config().target_pages, 512u);  // our wish stands
  EXPECT_OK(balloon_.OnNotify(0));
}

TEST_F(BalloonDeviceTest, RestoresWhatItSaved) {
  ASSERT_OK(balloon_.SetTargetMib(2));
  WriteActual(100);
  BalloonDevice other(*loop_, guest_.memory(), {});
  ASSERT_OK(other.Restore(balloon_.Save()));
  EXPECT_EQ(other.actual_bytes(), 100 * kPage);
  EXPECT_EQ(other.Save().balloon().target_pages(), 512u);
}

TEST_F(BalloonDeviceTest, RefusesAStateThatItCannotHaveReached) {
  msb::vmm::v1::DeviceState state = balloon_.Save();
  state.mutable_balloon()->set_target_pages(kMemoryBytes / kPage + 1);
  EXPECT_THAT(balloon_.Restore(state), HasReason(Reason::kStateInvalid));
  state.mutable_rng();
  EXPECT_THAT(balloon_.Restore(state), HasReason(Reason::kStateInvalid));
}

}  // namespace
}  // namespace msb
