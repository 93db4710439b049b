// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/block/block_device.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "base/check.h"
#include "tests/support/matchers.h"
#include "tests/support/vmm/fake_guest.h"
#include "tests/support/vmm/loop_thread.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::SizeIs;
using virtio::BlockRequestHeader;
using virtio::BlockRequestType;
using virtio::BlockSegment;
using virtio::BlockStatus;
using virtio::kSectorBytes;
using virtio::UsedElement;

constexpr uint64_t kDiskSectors = 128;

template <typename T>
std::string Raw(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string Header(BlockRequestType type, uint64_t sector = 0) {
  return Raw(
      BlockRequestHeader{.type = static_cast<uint32_t>(type), .reserved = 0, .sector = sector});
}

std::string Sector(char letter) { return std::string(kSectorBytes, letter); }

// Sector n is full of the letter 'a' + n % 26.
std::string LetteredDisk() {
  std::string content;
  for (uint64_t i = 0; i < kDiskSectors; ++i) content += Sector(static_cast<char>('a' + i % 26));
  return content;
}

class BlockDeviceTest : public testing::Test {
 protected:
  static constexpr uint64_t kAllFeatures =
      virtio::kBlockFeatureSegmentMax | virtio::kBlockFeatureFlush |
      virtio::kBlockFeatureConfigWriteback | virtio::kBlockFeatureDiscard |
      virtio::kBlockFeatureWriteZeroes;

  BlockDeviceTest() : file_(::memfd_create("disk", MFD_CLOEXEC)) {
    const std::string content = LetteredDisk();
    MSB_CHECK(::write(file_.get(), content.data(), content.size()) ==
              static_cast<ssize_t>(content.size()));
    MakeDevice(DiskFile::Access::kReadWrite);
  }
  ~BlockDeviceTest() override {
    loop_.Run([this] { device_.reset(); });
  }

  void MakeDevice(DiskFile::Access access) {
    auto disk = DiskFile::Open(UniqueFd(::dup(file_.get())), access);
    MSB_CHECK(disk.ok());
    loop_.Run([&] {
      device_ = std::make_unique<BlockDevice>(loop_.loop(), *std::move(disk),
                                              BlockDevice::Options{.id = "disk0"});
      MSB_CHECK(device_->Activate(device_->features(), guest_.virtqueues()).ok());
    });
  }

  // Serves what the driver has added, to the end.
  absl::Status Serve() {
    absl::Status served;
    loop_.Run([&] {
      served = device_->OnNotify(0);
      device_->Quiesce();
    });
    return served;
  }

  // One request with one data buffer on each side; its status, and what it read.
  struct Answer {
    BlockStatus status;
    std::string data;
    uint32_t length;
  };
  Answer Ask(const std::string& header, const std::string& out, uint32_t in) {
    std::vector<FakeBuffer> buffers = {guest_.Readable(header)};
    if (!out.empty()) buffers.push_back(guest_.Readable(out));
    if (in > 0) buffers.push_back(guest_.Writable(in));
    buffers.push_back(guest_.Writable(1));
    guest_.Write(buffers.back().range.start, "\xff");
    guest_.queue().AddChain(buffers);
    MSB_CHECK(Serve().ok());
    const std::vector<UsedElement> used = guest_.queue().Used();
    MSB_CHECK(used.size() == 1);
    const std::string status = guest_.Read(buffers.back().range);
    return {.status = static_cast<BlockStatus>(status[0]),
            .data = in > 0 ? guest_.Read(buffers[buffers.size() - 2].range) : "",
            .length = used[0].length};
  }
  Answer Read(uint64_t sector, uint32_t bytes) {
    return Ask(Header(BlockRequestType::kRead, sector), "", bytes);
  }
  Answer Write(uint64_t sector, const std::string& data) {
    return Ask(Header(BlockRequestType::kWrite, sector), data, 0);
  }
  Answer Zero(BlockRequestType type, const std::vector<BlockSegment>& segments) {
    std::string data;
    for (const BlockSegment& segment : segments) data += Raw(segment);
    return Ask(Header(type), data, 0);
  }
  std::string OnDisk(uint64_t sector, uint64_t sectors = 1) const {
    std::string content(sectors * kSectorBytes, '\0');
    MSB_CHECK(::pread(file_.get(), content.data(), content.size(),
                      static_cast<off_t>(sector * kSectorBytes)) ==
              static_cast<ssize_t>(content.size()));
    return content;
  }

  UniqueFd file_;
  FakeGuest guest_{{.queue_sizes = {64}}};
  LoopThread loop_;
  std::unique_ptr<BlockDevice> device_;
};

TEST_F(BlockDeviceTest, DescribesTheDisk) {
  virtio::BlockConfig config;
  ASSERT_EQ(device_->config().size(), sizeof(config));
  std::memcpy(&config, device_->config().data(), sizeof(config));
  EXPECT_EQ(config.capacity, kDiskSectors);
  EXPECT_EQ(config.segment_max, 254u);
  EXPECT_EQ(config.writeback, 1);
  EXPECT_EQ(device_->features(), kAllFeatures);
  EXPECT_EQ(device_->id(), DeviceId::kBlock);
}

TEST_F(BlockDeviceTest, ReadsSectors) {
  const Answer answer = Read(2, 1024);
  EXPECT_EQ(answer.status, BlockStatus::kOk);
  EXPECT_EQ(answer.data, Sector('c') + Sector('d'));
  EXPECT_EQ(answer.length, 1025u);
}

TEST_F(BlockDeviceTest, WritesSectors) {
  const Answer answer = Write(127, Sector('X'));
  EXPECT_EQ(answer.status, BlockStatus::kOk);
  EXPECT_EQ(answer.length, 1u);
  EXPECT_EQ(OnDisk(126), Sector('w'));
  EXPECT_EQ(OnDisk(127), Sector('X'));
}

TEST_F(BlockDeviceTest, TakesARequestHoweverItIsCutIntoBuffers) {
  const std::string header = Header(BlockRequestType::kRead, 1);
  const FakeChain chain = guest_.queue().AddChain({guest_.Readable(header.substr(0, 3)),
                                                   guest_.Readable(header.substr(3)),
                                                   guest_.Writable(100), guest_.Writable(412 + 1)});
  ASSERT_OK(Serve());
  EXPECT_THAT(guest_.queue().Used(), ElementsAre(UsedElement{.id = 0, .length = 513}));
  EXPECT_EQ(guest_.Read(chain.buffers[2]), std::string(100, 'b'));
  EXPECT_EQ(guest_.Read(chain.buffers[3]), std::string(412, 'b') + '\0');

  guest_.queue().AddChain({guest_.Readable(Header(BlockRequestType::kWrite, 5) + "he"),
                           guest_.Readable("ad" + std::string(508, '.')), guest_.Writable(1)});
  ASSERT_OK(Serve());
  EXPECT_EQ(OnDisk(5), "head" + std::string(508, '.'));
}

TEST_F(BlockDeviceTest, ReadsAndWritesThroughIndirectTables) {
  std::vector<FakeBuffer> buffers = {guest_.Readable(Header(BlockRequestType::kRead, 0))};
  for (int i = 0; i < 100; ++i) buffers.push_back(guest_.Writable(512));
  buffers.push_back(guest_.Writable(1));
  const FakeChain chain = guest_.queue().AddIndirectChain(buffers);
  ASSERT_OK(Serve());
  EXPECT_THAT(guest_.queue().Used(), ElementsAre(UsedElement{.id = 0, .length = 51201}));
  EXPECT_EQ(guest_.Read(chain.buffers[100]), Sector(static_cast<char>('a' + 99 % 26)));
}

TEST_F(BlockDeviceTest, AnswersRequestsBeyondTheDiskWithAnError) {
  EXPECT_EQ(Read(kDiskSectors, 512).status, BlockStatus::kIoError);
  EXPECT_EQ(Read(kDiskSectors - 1, 1024).status, BlockStatus::kIoError);
  EXPECT_EQ(Read(~uint64_t{0}, 512).status, BlockStatus::kIoError);
  EXPECT_EQ(Read(~uint64_t{0} / 512 + 1, 512).status, BlockStatus::kIoError);
  EXPECT_EQ(Write(kDiskSectors, Sector('X')).status, BlockStatus::kIoError);
  EXPECT_EQ(Read(0, 512).status, BlockStatus::kOk);
  EXPECT_EQ(OnDisk(0, kDiskSectors), LetteredDisk());
}

TEST_F(BlockDeviceTest, AnswersPartsOfSectorsWithAnError) {
  EXPECT_EQ(Read(0, 511).status, BlockStatus::kIoError);
  EXPECT_EQ(Write(0, "short").status, BlockStatus::kIoError);
}

TEST_F(BlockDeviceTest, AnswersAnEmptyTransfer) {
  EXPECT_EQ(Read(0, 0).status, BlockStatus::kOk);
  EXPECT_EQ(Write(kDiskSectors, "").status, BlockStatus::kOk);
}

TEST_F(BlockDeviceTest, AnswersUnknownRequestsAsUnsupported) {
  EXPECT_EQ(Ask(Header(BlockRequestType{2}), "", 16).status, BlockStatus::kUnsupported);
  EXPECT_EQ(Ask(Header(BlockRequestType{0x80000000}), "", 0).status, BlockStatus::kUnsupported);
  EXPECT_EQ(Ask("too short", "", 16).status, BlockStatus::kUnsupported);
}

TEST_F(BlockDeviceTest, RefusesAChainWithoutRoomForAStatus) {
  guest_.queue().AddReadable(Header(BlockRequestType::kRead));
  EXPECT_THAT(Serve(), HasReason(Reason::kGuestViolation));
}

TEST_F(BlockDeviceTest, TellsItsSerial) {
  const Answer answer = Ask(Header(BlockRequestType::kGetId), "", virtio::kBlockIdBytes);
  EXPECT_EQ(answer.status, BlockStatus::kOk);
  EXPECT_EQ(answer.data, "disk0" + std::string(15, '\0'));
  EXPECT_EQ(Ask(Header(BlockRequestType::kGetId), "", 4).data, "disk");
}

TEST_F(BlockDeviceTest, Flushes) {
  EXPECT_EQ(Ask(Header(BlockRequestType::kFlush), "", 0).status, BlockStatus::kOk);
}

TEST_F(BlockDeviceTest, WritesZeroesAndDiscards) {
  EXPECT_EQ(Zero(BlockRequestType::kWriteZeroes,
                 {{.sector = 1, .sectors = 2, .flags = 0},
                  {.sector = 8, .sectors = 1, .flags = virtio::kBlockSegmentUnmap}})
                .status,
            BlockStatus::kOk);
  EXPECT_EQ(OnDisk(0, 4), Sector('a') + std::string(1024, '\0') + Sector('d'));
  EXPECT_EQ(OnDisk(8), Sector('\0'));

  EXPECT_EQ(Zero(BlockRequestType::kDiscard, {{.sector = 16, .sectors = 8, .flags = 0}}).status,
            BlockStatus::kOk);
  EXPECT_EQ(OnDisk(16), Sector('\0'));
  EXPECT_EQ(OnDisk(24), Sector('y'));
  EXPECT_EQ(Zero(BlockRequestType::kDiscard, {{.sector = 0, .sectors = 0, .flags = 0}}).status,
            BlockStatus::kOk);
}

TEST_F(BlockDeviceTest, LeavesTheDiskAloneWhenOneSegmentIsWrong) {
  const BlockSegment good = {.sector = 0, .sectors = 8, .flags = 0};
  const auto status = [&](BlockRequestType type, const BlockSegment& segment) {
    return Zero(type, {good, segment}).status;
  };
  EXPECT_EQ(status(BlockRequestType::kDiscard, {.sector = kDiskSectors, .sectors = 1, .flags = 0}),
            BlockStatus::kIoError);
  EXPECT_EQ(status(BlockRequestType::kWriteZeroes, {.sector = 1, .sectors = ~0u, .flags = 0}),
            BlockStatus::kIoError);
  EXPECT_EQ(status(BlockRequestType::kDiscard, {.sector = ~uint64_t{0}, .sectors = 2, .flags = 0}),
            BlockStatus::kIoError);
  EXPECT_EQ(status(BlockRequestType::kDiscard, {.sector = 0, .sectors = 1, .flags = 1}),
            BlockStatus::kUnsupported);
  EXPECT_EQ(status(BlockRequestType::kWriteZeroes, {.sector = 0, .sectors = 1, .flags = 2}),
            BlockStatus::kUnsupported);
  EXPECT_EQ(Zero(BlockRequestType::kDiscard, {}).status, BlockStatus::kIoError);
  EXPECT_EQ(Zero(BlockRequestType::kDiscard, std::vector<BlockSegment>(17, good)).status,
            BlockStatus::kIoError);
  EXPECT_EQ(Ask(Header(BlockRequestType::kDiscard), "odd", 0).status, BlockStatus::kIoError);
  EXPECT_EQ(OnDisk(0, kDiskSectors), LetteredDisk());
}

TEST_F(BlockDeviceTest, ChangesNothingOnAReadOnlyDisk) {
  MakeDevice(DiskFile::Access::kReadOnly);
  EXPECT_EQ(device_->features(), virtio::kBlockFeatureSegmentMax | virtio::kBlockFeatureReadOnly);
  EXPECT_EQ(Write(0, Sector('X')).status, BlockStatus::kIoError);
  const BlockSegment segment = {.sector = 0, .sectors = 8, .flags = 0};
  EXPECT_EQ(Zero(BlockRequestType::kDiscard, {segment}).status, BlockStatus::kIoError);
  EXPECT_EQ(Zero(BlockRequestType::kWriteZeroes, {segment}).status, BlockStatus::kIoError);
  EXPECT_EQ(Read(0, 512).data, Sector('a'));
  EXPECT_EQ(OnDisk(0, kDiskSectors), LetteredDisk());
}

TEST_F(BlockDeviceTest, AnswersWithAnErrorWhenTheFileHasShrunk) {
  ASSERT_EQ(::ftruncate(file_.get(), 512), 0);
  EXPECT_EQ(Read(0, 512).status, BlockStatus::kOk);
  EXPECT_EQ(Read(1, 512).status, BlockStatus::kIoError);
}

TEST_F(BlockDeviceTest, CountsWhatItHasDone) {
  Read(0, 1024);
  Read(kDiskSectors, 1024);
  Write(0, Sector('X'));
  EXPECT_EQ(device_->stats().id(), "disk0");
  EXPECT_EQ(device_->stats().requests(), 3u);
  EXPECT_EQ(device_->stats().read_bytes(), 1024u);
  EXPECT_EQ(device_->stats().written_bytes(), 512u);
}

TEST_F(BlockDeviceTest, LetsTheDriverChooseWhenAWriteIsDone) {
  const auto writeback = [this] {
    return device_->config()[offsetof(virtio::BlockConfig, writeback)];
  };
  const uint8_t off = 0;
  loop_.Run([&] {
    device_->WriteConfig(offsetof(virtio::BlockConfig, writeback), absl::MakeConstSpan(&off, 1));
  });
  EXPECT_EQ(writeback(), 0);
  EXPECT_EQ(Write(3, Sector('X')).status, BlockStatus::kOk);
  EXPECT_EQ(OnDisk(3), Sector('X'));
  EXPECT_EQ(Zero(BlockRequestType::kWriteZeroes, {{.sector = 3, .sectors = 1, .flags = 0}}).status,
            BlockStatus::kOk);
  EXPECT_EQ(OnDisk(3), Sector('\0'));

  const std::string before(device_->config().begin(), device_->config().end());
  const std::vector<uint8_t> junk(8, 0xff);
  loop_.Run([&] { device_->WriteConfig(0, junk); });
  EXPECT_EQ(std::string(device_->config().begin(), device_->config().end()), before);

  loop_.Run([&] { device_->Reset(); });
  EXPECT_EQ(writeback(), 1);
}

TEST_F(BlockDeviceTest, CompletesWithoutBeingAskedAgain) {
  absl::Notification interrupted;
  std::optional<Virtqueue> queue;
  loop_.Run([&] {
    device_->Reset();
    queue = *Virtqueue::Create(guest_.memory(), guest_.queue().layout(), /*event_index=*/true,
                               [&] { interrupted.Notify(); });
    Virtqueue* const queues[] = {&*queue};
    ASSERT_OK(device_->Activate(kAllFeatures, queues));
    guest_.queue().AddChain(
        {guest_.Readable(Header(BlockRequestType::kWrite, 0) + Sector('X')), guest_.Writable(1)});
    ASSERT_OK(device_->OnNotify(0));
  });
  interrupted.WaitForNotification();
  EXPECT_THAT(guest_.queue().Used(), SizeIs(1));
  EXPECT_EQ(OnDisk(0), Sector('X'));
  loop_.Run([&] { device_->Reset(); });
}

TEST_F(BlockDeviceTest, LooksAfterOthersBeforeItGoesOnWithALongRow) {
  FakeGuest guest({.queue_sizes = {1024}});
  const FakeBuffer header = guest.Readable(Header(BlockRequestType::kRead, kDiskSectors + 1));
  const FakeBuffer status = guest.Writable(1);
  for (int i = 0; i < BlockDevice::kMaxRequestsPerTurn + 1; ++i) {
    guest.queue().AddChain({header, status});  // beyond the disk: answered without it
  }
  size_t at_once = 0;
  loop_.Run([&] {
    device_->Reset();
    MSB_CHECK(device_->Activate(device_->features(), guest.virtqueues()).ok());
    MSB_CHECK(device_->OnNotify(0).ok());
    at_once = guest.queue().Used().size();
  });
  EXPECT_EQ(at_once, static_cast<size_t>(BlockDevice::kMaxRequestsPerTurn));
  loop_.Settle();
  EXPECT_THAT(guest.queue().Used(), SizeIs(1));
  loop_.Run([this] { device_->Reset(); });
}

TEST_F(BlockDeviceTest, TouchesNoGuestMemoryAfterAReset) {
  for (int round = 0; round < 50; ++round) {
    FakeGuest guest({.queue_sizes = {64}, .memory_bytes = uint64_t{1} << 20});
    loop_.Run([&] {
      device_->Reset();
      ASSERT_OK(device_->Activate(kAllFeatures, guest.virtqueues()));
      for (int i = 0; i < 20; ++i) {
        guest.queue().AddChain(
            {guest.Readable(Header(BlockRequestType::kRead, 0)), guest.Writable(4096 + 1)});
      }
      ASSERT_OK(device_->OnNotify(0));
      device_->Reset();
    });
  }  // the guest's memory is unmapped here: a late write would be a fault
  loop_.Settle();
}

TEST_F(BlockDeviceTest, RestoresOnlyOntoTheSameDisk) {
  const msb::vmm::v1::DeviceState good = device_->Save();
  EXPECT_EQ(good.block().capacity_sectors(), kDiskSectors);
  const auto restore = [this](const msb::vmm::v1::DeviceState& state) {
    absl::Status status;
    loop_.Run([&] {
      device_->Reset();
      status = device_->Restore(state);
    });
    return status;
  };
  EXPECT_OK(restore(good));
  msb::vmm::v1::DeviceState bad = good;
  bad.mutable_block()->set_capacity_sectors(kDiskSectors + 1);
  EXPECT_THAT(restore(bad), HasReason(Reason::kStateInvalid));
  bad = good;
  bad.mutable_block()->set_read_only(true);
  EXPECT_THAT(restore(bad), HasReason(Reason::kStateInvalid));
  bad.mutable_rng();
  EXPECT_THAT(restore(bad), HasReason(Reason::kStateInvalid));

  msb::vmm::v1::DeviceState writethrough = good;
  writethrough.mutable_block()->set_writeback(false);
  EXPECT_OK(restore(writethrough));
  EXPECT_FALSE(device_->Save().block().writeback());
}

TEST_F(BlockDeviceTest, RunsTheThreadsStartHookOnItsThread) {
  absl::Notification started;
  std::thread::id thread;
  auto disk = DiskFile::Open(UniqueFd(::dup(file_.get())), DiskFile::Access::kReadOnly);
  ASSERT_OK(disk.status());
  BlockDevice device(loop_.loop(), *std::move(disk), {.id = "x", .on_thread_start = [&] {
                                                        thread = std::this_thread::get_id();
                                                        started.Notify();
                                                      }});
  started.WaitForNotification();
  EXPECT_NE(thread, std::this_thread::get_id());
}

}  // namespace
}  // namespace msb
