// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Our spec headers against those of Linux.

#include <gtest/gtest.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#define class class_  // a member of a C structure
#include <linux/virtio_net.h>
#undef class
#define VIRTIO_RING_NO_LEGACY  // what it leaves out is no valid C++
#include <linux/virtio_ring.h>

#include <cstddef>

#include "vmm/devices/virtio/spec/balloon.h"
#include "vmm/devices/virtio/spec/block.h"
#include "vmm/devices/virtio/spec/device.h"
#include "vmm/devices/virtio/spec/fs.h"
#include "vmm/devices/virtio/spec/mmio.h"
#include "vmm/devices/virtio/spec/net.h"
#include "vmm/devices/virtio/spec/split_ring.h"
#include "vmm/devices/virtio/virtio_device.h"

namespace msb::virtio {
namespace {

constexpr uint64_t Bit(int number) { return uint64_t{1} << number; }

TEST(SpecTest, LaysOutTheFileSystemDeviceAsLinuxDoes) {
  EXPECT_EQ(sizeof(FsConfig), sizeof(virtio_fs_config));
  EXPECT_EQ(sizeof(FsConfig::tag), sizeof(virtio_fs_config::tag));
  EXPECT_EQ(offsetof(FsConfig, num_request_queues), offsetof(virtio_fs_config, num_request_queues));
}

TEST(SpecTest, NumbersDevicesAsLinuxDoes) {
  EXPECT_EQ(static_cast<int>(DeviceId::kNet), VIRTIO_ID_NET);
  EXPECT_EQ(static_cast<int>(DeviceId::kBlock), VIRTIO_ID_BLOCK);
  EXPECT_EQ(static_cast<int>(DeviceId::kRng), VIRTIO_ID_RNG);
  EXPECT_EQ(static_cast<int>(DeviceId::kBalloon), VIRTIO_ID_BALLOON);
  EXPECT_EQ(static_cast<int>(DeviceId::kVsock), VIRTIO_ID_VSOCK);
  EXPECT_EQ(static_cast<int>(DeviceId::kFs), VIRTIO_ID_FS);
}

TEST(SpecTest, HasLinuxsStatusAndFeatureBits) {
  EXPECT_EQ(kStatusAcknowledge, VIRTIO_CONFIG_S_ACKNOWLEDGE);
  EXPECT_EQ(kStatusDriver, VIRTIO_CONFIG_S_DRIVER);
  EXPECT_EQ(kStatusDriverOk, VIRTIO_CONFIG_S_DRIVER_OK);
  EXPECT_EQ(kStatusFeaturesOk, VIRTIO_CONFIG_S_FEATURES_OK);
  EXPECT_EQ(kStatusNeedsReset, VIRTIO_CONFIG_S_NEEDS_RESET);
  EXPECT_EQ(kStatusFailed, VIRTIO_CONFIG_S_FAILED);
  EXPECT_EQ(kFeatureIndirectDescriptors, Bit(VIRTIO_RING_F_INDIRECT_DESC));
  EXPECT_EQ(kFeatureEventIndex, Bit(VIRTIO_RING_F_EVENT_IDX));
  EXPECT_EQ(kFeatureVersion1, Bit(VIRTIO_F_VERSION_1));
}

TEST(SpecTest, KnowsTheNetworkCardAsLinuxDoes) {
  EXPECT_EQ(kNetFeatureChecksum, Bit(VIRTIO_NET_F_CSUM));
  EXPECT_EQ(kNetFeatureGuestChecksum, Bit(VIRTIO_NET_F_GUEST_CSUM));
  EXPECT_EQ(kNetFeatureMtu, Bit(VIRTIO_NET_F_MTU));
  EXPECT_EQ(kNetFeatureMac, Bit(VIRTIO_NET_F_MAC));
  EXPECT_EQ(kNetFeatureMergeableBuffers, Bit(VIRTIO_NET_F_MRG_RXBUF));
  EXPECT_EQ(kNetFeatureStatus, Bit(VIRTIO_NET_F_STATUS));
  EXPECT_EQ(offsetof(NetConfig, status), offsetof(virtio_net_config, status));
  EXPECT_EQ(offsetof(NetConfig, mtu), offsetof(virtio_net_config, mtu));
  EXPECT_EQ(sizeof(NetHeader), sizeof(virtio_net_hdr_v1));
  EXPECT_EQ(offsetof(NetHeader, checksum_start), offsetof(virtio_net_hdr_v1, csum_start));
  EXPECT_EQ(offsetof(NetHeader, buffers), offsetof(virtio_net_hdr_v1, num_buffers));
}

TEST(SpecTest, LaysOutTheSplitRingAsLinuxDoes) {
  EXPECT_EQ(sizeof(Descriptor), sizeof(vring_desc));
  EXPECT_EQ(offsetof(Descriptor, length), offsetof(vring_desc, len));
  EXPECT_EQ(offsetof(Descriptor, flags), offsetof(vring_desc, flags));
  EXPECT_EQ(offsetof(Descriptor, next), offsetof(vring_desc, next));
  EXPECT_EQ(kDescriptorNext, VRING_DESC_F_NEXT);
  EXPECT_EQ(kDescriptorWrite, VRING_DESC_F_WRITE);
  EXPECT_EQ(kDescriptorIndirect, VRING_DESC_F_INDIRECT);
  EXPECT_EQ(sizeof(UsedElement), sizeof(vring_used_elem));
  EXPECT_EQ(kAvailableRingOffset, offsetof(vring_avail, ring));
  EXPECT_EQ(kUsedRingOffset, offsetof(vring_used, ring));
  EXPECT_EQ(kAvailableNoInterrupt, VRING_AVAIL_F_NO_INTERRUPT);
  EXPECT_EQ(kUsedNoNotify, VRING_USED_F_NO_NOTIFY);
  EXPECT_EQ(kDescriptorTableAlignment, uint64_t{VRING_DESC_ALIGN_SIZE});
  EXPECT_EQ(kDriverAreaAlignment, uint64_t{VRING_AVAIL_ALIGN_SIZE});
  EXPECT_EQ(kDeviceAreaAlignment, uint64_t{VRING_USED_ALIGN_SIZE});

  // "We publish the used event index at the end of the available ring, and vice versa."
  EXPECT_EQ(UsedEventOffset(256), offsetof(vring_avail, ring) + 256 * sizeof(__virtio16));
  EXPECT_EQ(AvailableEventOffset(256), offsetof(vring_used, ring) + 256 * sizeof(vring_used_elem));
}

TEST(SpecTest, DecidesAboutEventsAsLinuxDoes) {
  for (int event = 65500; event < 65600; event += 7) {
    for (int from = 65500; from < 65600; ++from) {
      for (int steps = 0; steps < 20; ++steps) {
        const auto e = static_cast<uint16_t>(event);
        const auto old_index = static_cast<uint16_t>(from);
        const auto new_index = static_cast<uint16_t>(from + steps);
        ASSERT_EQ(NeedsEvent(e, new_index, old_index),
                  vring_need_event(e, new_index, old_index) != 0);
      }
    }
  }
}

TEST(SpecTest, PlacesTheMmioRegistersWhereLinuxDoes) {
  const auto at = [](MmioRegister name) { return static_cast<int>(name); };
  EXPECT_EQ(at(MmioRegister::kMagic), VIRTIO_MMIO_MAGIC_VALUE);
  EXPECT_EQ(at(MmioRegister::kVersion), VIRTIO_MMIO_VERSION);
  EXPECT_EQ(at(MmioRegister::kDeviceId), VIRTIO_MMIO_DEVICE_ID);
  EXPECT_EQ(at(MmioRegister::kVendorId), VIRTIO_MMIO_VENDOR_ID);
  EXPECT_EQ(at(MmioRegister::kDeviceFeatures), VIRTIO_MMIO_DEVICE_FEATURES);
  EXPECT_EQ(at(MmioRegister::kDeviceFeaturesSelect), VIRTIO_MMIO_DEVICE_FEATURES_SEL);
  EXPECT_EQ(at(MmioRegister::kDriverFeatures), VIRTIO_MMIO_DRIVER_FEATURES);
  EXPECT_EQ(at(MmioRegister::kDriverFeaturesSelect), VIRTIO_MMIO_DRIVER_FEATURES_SEL);
  EXPECT_EQ(at(MmioRegister::kQueueSelect), VIRTIO_MMIO_QUEUE_SEL);
  EXPECT_EQ(at(MmioRegister::kQueueSizeMax), VIRTIO_MMIO_QUEUE_NUM_MAX);
  EXPECT_EQ(at(MmioRegister::kQueueSize), VIRTIO_MMIO_QUEUE_NUM);
  EXPECT_EQ(at(MmioRegister::kQueueReady), VIRTIO_MMIO_QUEUE_READY);
  EXPECT_EQ(at(MmioRegister::kQueueNotify), VIRTIO_MMIO_QUEUE_NOTIFY);
  EXPECT_EQ(at(MmioRegister::kInterruptStatus), VIRTIO_MMIO_INTERRUPT_STATUS);
  EXPECT_EQ(at(MmioRegister::kInterruptAcknowledge), VIRTIO_MMIO_INTERRUPT_ACK);
  EXPECT_EQ(at(MmioRegister::kStatus), VIRTIO_MMIO_STATUS);
  EXPECT_EQ(at(MmioRegister::kQueueDescriptorLow), VIRTIO_MMIO_QUEUE_DESC_LOW);
  EXPECT_EQ(at(MmioRegister::kQueueDescriptorHigh), VIRTIO_MMIO_QUEUE_DESC_HIGH);
  EXPECT_EQ(at(MmioRegister::kQueueDriverLow), VIRTIO_MMIO_QUEUE_AVAIL_LOW);
  EXPECT_EQ(at(MmioRegister::kQueueDriverHigh), VIRTIO_MMIO_QUEUE_AVAIL_HIGH);
  EXPECT_EQ(at(MmioRegister::kQueueDeviceLow), VIRTIO_MMIO_QUEUE_USED_LOW);
  EXPECT_EQ(at(MmioRegister::kQueueDeviceHigh), VIRTIO_MMIO_QUEUE_USED_HIGH);
  EXPECT_EQ(at(MmioRegister::kSharedMemorySelect), VIRTIO_MMIO_SHM_SEL);
  EXPECT_EQ(at(MmioRegister::kSharedMemoryLengthLow), VIRTIO_MMIO_SHM_LEN_LOW);
  EXPECT_EQ(at(MmioRegister::kSharedMemoryBaseHigh), VIRTIO_MMIO_SHM_BASE_HIGH);
  EXPECT_EQ(at(MmioRegister::kConfigGeneration), VIRTIO_MMIO_CONFIG_GENERATION);
  EXPECT_EQ(at(MmioRegister::kConfig), VIRTIO_MMIO_CONFIG);
  EXPECT_EQ(kInterruptUsedBuffer, uint32_t{VIRTIO_MMIO_INT_VRING});
  EXPECT_EQ(kInterruptConfigChange, uint32_t{VIRTIO_MMIO_INT_CONFIG});
}

TEST(SpecTest, DescribesBlockRequestsAsLinuxDoes) {
  EXPECT_EQ(kBlockFeatureSegmentMax, Bit(VIRTIO_BLK_F_SEG_MAX));
  EXPECT_EQ(kBlockFeatureReadOnly, Bit(VIRTIO_BLK_F_RO));
  EXPECT_EQ(kBlockFeatureFlush, Bit(VIRTIO_BLK_F_FLUSH));
  EXPECT_EQ(kBlockFeatureConfigWriteback, Bit(VIRTIO_BLK_F_CONFIG_WCE));
  EXPECT_EQ(kBlockFeatureDiscard, Bit(VIRTIO_BLK_F_DISCARD));
  EXPECT_EQ(kBlockFeatureWriteZeroes, Bit(VIRTIO_BLK_F_WRITE_ZEROES));
  EXPECT_EQ(kBlockIdBytes, size_t{VIRTIO_BLK_ID_BYTES});
  EXPECT_EQ(static_cast<int>(BlockRequestType::kRead), VIRTIO_BLK_T_IN);
  EXPECT_EQ(static_cast<int>(BlockRequestType::kWrite), VIRTIO_BLK_T_OUT);
  EXPECT_EQ(static_cast<int>(BlockRequestType::kFlush), VIRTIO_BLK_T_FLUSH);
  EXPECT_EQ(static_cast<int>(BlockRequestType::kGetId), VIRTIO_BLK_T_GET_ID);
  EXPECT_EQ(static_cast<int>(BlockRequestType::kDiscard), VIRTIO_BLK_T_DISCARD);
  EXPECT_EQ(static_cast<int>(BlockRequestType::kWriteZeroes), VIRTIO_BLK_T_WRITE_ZEROES);
  EXPECT_EQ(static_cast<int>(BlockStatus::kOk), VIRTIO_BLK_S_OK);
  EXPECT_EQ(static_cast<int>(BlockStatus::kIoError), VIRTIO_BLK_S_IOERR);
  EXPECT_EQ(static_cast<int>(BlockStatus::kUnsupported), VIRTIO_BLK_S_UNSUPP);
  EXPECT_EQ(kBlockSegmentUnmap, uint32_t{VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP});
  EXPECT_EQ(sizeof(BlockRequestHeader), sizeof(virtio_blk_outhdr));
  EXPECT_EQ(sizeof(BlockSegment), sizeof(virtio_blk_discard_write_zeroes));
  EXPECT_EQ(offsetof(BlockConfig, segment_max), offsetof(virtio_blk_config, seg_max));
  EXPECT_EQ(offsetof(BlockConfig, block_size), offsetof(virtio_blk_config, blk_size));
  EXPECT_EQ(offsetof(BlockConfig, writeback), offsetof(virtio_blk_config, wce));
  EXPECT_EQ(offsetof(BlockConfig, max_discard_sectors),
            offsetof(virtio_blk_config, max_discard_sectors));
  EXPECT_EQ(offsetof(BlockConfig, write_zeroes_may_unmap),
            offsetof(virtio_blk_config, write_zeroes_may_unmap));
}

TEST(SpecTest, DescribesTheBalloonAsLinuxDoes) {
  EXPECT_EQ(kBalloonFeatureDeflateOnOom, Bit(VIRTIO_BALLOON_F_DEFLATE_ON_OOM));
  EXPECT_EQ(kBalloonFeatureReporting, Bit(VIRTIO_BALLOON_F_REPORTING));
  EXPECT_EQ(kBalloonPageBytes, Bit(VIRTIO_BALLOON_PFN_SHIFT));
  EXPECT_EQ(offsetof(BalloonConfig, target_pages), offsetof(virtio_balloon_config, num_pages));
  EXPECT_EQ(offsetof(BalloonConfig, actual_pages), offsetof(virtio_balloon_config, actual));
}

}  // namespace
}  // namespace msb::virtio
