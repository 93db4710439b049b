// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <linux/vm_sockets.h>

#include <cstddef>

#include "vmm/devices/virtio/spec/vsock.h"
#include "vmm/devices/virtio/virtio_device.h"

namespace msb::virtio {
namespace {

template <typename Enum>
constexpr auto Number(Enum value) {
  return static_cast<std::underlying_type_t<Enum>>(value);
}

TEST(VsockSpecTest, TheHeaderIsLaidOutAsTheKernelHasIt) {
  static_assert(sizeof(VsockHeader) == sizeof(virtio_vsock_hdr));
  EXPECT_EQ(offsetof(VsockHeader, src_cid), offsetof(virtio_vsock_hdr, src_cid));
  EXPECT_EQ(offsetof(VsockHeader, dst_cid), offsetof(virtio_vsock_hdr, dst_cid));
  EXPECT_EQ(offsetof(VsockHeader, src_port), offsetof(virtio_vsock_hdr, src_port));
  EXPECT_EQ(offsetof(VsockHeader, dst_port), offsetof(virtio_vsock_hdr, dst_port));
  EXPECT_EQ(offsetof(VsockHeader, length), offsetof(virtio_vsock_hdr, len));
  EXPECT_EQ(offsetof(VsockHeader, type), offsetof(virtio_vsock_hdr, type));
  EXPECT_EQ(offsetof(VsockHeader, op), offsetof(virtio_vsock_hdr, op));
  EXPECT_EQ(offsetof(VsockHeader, flags), offsetof(virtio_vsock_hdr, flags));
  EXPECT_EQ(offsetof(VsockHeader, buf_alloc), offsetof(virtio_vsock_hdr, buf_alloc));
  EXPECT_EQ(offsetof(VsockHeader, fwd_cnt), offsetof(virtio_vsock_hdr, fwd_cnt));
}

TEST(VsockSpecTest, TheNumbersAreThoseOfTheKernel) {
  EXPECT_EQ(Number(DeviceId::kVsock), VIRTIO_ID_VSOCK);
  EXPECT_EQ(kVsockFeatureSeqPacket, uint64_t{1} << VIRTIO_VSOCK_F_SEQPACKET);
  EXPECT_EQ(kVsockHostCid, VMADDR_CID_HOST);
  EXPECT_EQ(kVsockLastGuestCid + 1, VMADDR_CID_ANY);
  EXPECT_EQ(Number(VsockType::kStream), VIRTIO_VSOCK_TYPE_STREAM);
  EXPECT_EQ(Number(VsockType::kSeqPacket), VIRTIO_VSOCK_TYPE_SEQPACKET);
  EXPECT_EQ(Number(VsockOp::kInvalid), VIRTIO_VSOCK_OP_INVALID);
  EXPECT_EQ(Number(VsockOp::kRequest), VIRTIO_VSOCK_OP_REQUEST);
  EXPECT_EQ(Number(VsockOp::kResponse), VIRTIO_VSOCK_OP_RESPONSE);
  EXPECT_EQ(Number(VsockOp::kReset), VIRTIO_VSOCK_OP_RST);
  EXPECT_EQ(Number(VsockOp::kShutdown), VIRTIO_VSOCK_OP_SHUTDOWN);
  EXPECT_EQ(Number(VsockOp::kReadWrite), VIRTIO_VSOCK_OP_RW);
  EXPECT_EQ(Number(VsockOp::kCreditUpdate), VIRTIO_VSOCK_OP_CREDIT_UPDATE);
  EXPECT_EQ(Number(VsockOp::kCreditRequest), VIRTIO_VSOCK_OP_CREDIT_REQUEST);
  EXPECT_EQ(kVsockShutdownReceive, uint32_t{VIRTIO_VSOCK_SHUTDOWN_RCV});
  EXPECT_EQ(kVsockShutdownSend, uint32_t{VIRTIO_VSOCK_SHUTDOWN_SEND});
}

TEST(VsockSpecTest, ConfigurationAndEventAreAsTheKernelHasThem) {
  static_assert(sizeof(VsockConfig) == sizeof(virtio_vsock_config));
  static_assert(sizeof(VsockEvent) == sizeof(virtio_vsock_event));
  EXPECT_EQ(Number(VsockEventId::kTransportReset), uint32_t{VIRTIO_VSOCK_EVENT_TRANSPORT_RESET});
}

}  // namespace
}  // namespace msb::virtio
