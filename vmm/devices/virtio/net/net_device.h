// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// virtio-net (VIRTIO 1.2, 5.1): one pair of queues, over a FrameLink.
//
// Frames of the guest go out of its memory by one sendmsg for several of them; a frame that the
// socket takes in part holds up those behind it, and its buffers are the guest's again when it has
// gone. Frames for the guest are copied into its (mergeable) buffers; without buffers the socket is
// left unread. Nothing is dropped while the link is up.
//
// Offloads: the guest leaves TCP and UDP checksums to us, which are completed before a frame leaves
// (in native code, where an emulated CPU would take five times as long); frames for the guest are
// marked as checked, since a Unix socket changes none. No segmentation offload: the MTU does its
// work.
//
// Threading: the event loop's.

#ifndef MSB_VMM_DEVICES_VIRTIO_NET_NET_DEVICE_H_
#define MSB_VMM_DEVICES_VIRTIO_NET_NET_DEVICE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "msb/vmm/v1/control.pb.h"
#include "vmm/backends/net/frame_link.h"
#include "vmm/devices/virtio/net/tx_frame.h"
#include "vmm/devices/virtio/spec/net.h"
#include "vmm/devices/virtio/virtio_device.h"

namespace msb {

class NetDevice final : public VirtioDevice, private FrameLinkObserver {
 public:
  using Mac = std::array<uint8_t, 6>;
  static constexpr uint16_t kMinMtu = 1280;  // RFC 8200, section 5
  // With an Ethernet header, the largest frame whose IP packet is a multiple of 4 bytes long.
  static constexpr uint16_t kMaxMtu = 65520;

  // `loop` outlives the device. `mtu`: kMinMtu..kMaxMtu.
  NetDevice(EventLoop& loop, const Mac& mac, uint16_t mtu);
  NetDevice(const NetDevice&) = delete;
  NetDevice& operator=(const NetDevice&) = delete;
  ~NetDevice() override;

  // Where the other end of the wire connects: a non-blocking listening Unix socket.
  absl::Status Listen(UniqueFd listener) { return link_.Listen(std::move(listener)); }
  // The wire's first end: a connected one.
  void Attach(UniqueFd wire) { link_.Attach(std::move(wire)); }
  void FillStats(msb::vmm::v1::Stats& stats) const;

  DeviceId id() const override { return DeviceId::kNet; }
  uint64_t features() const override;
  absl::Span<const uint16_t> max_queue_sizes() const override;
  absl::Span<const uint8_t> config() const override;
  void WriteConfig(uint32_t, absl::Span<const uint8_t>) override {}  // 5.1.4: read-only

  absl::Status Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) override;
  absl::Status OnNotify(uint16_t index) override;
  void Reset() override;

  void Quiesce() override;
  msb::vmm::v1::DeviceState Save() const override;
  // Takes over MAC and MTU of the saved device: the guest has read them.
  absl::Status Restore(const msb::vmm::v1::DeviceState& state) override;

 private:
  void OnLinkChanged() override;
  void OnFrames() override { Report(SendToGuest()); }
  void OnWritable() override { Report(TakeFromGuest()); }

  absl::Status TakeFromGuest();
  // As many frames as one sendmsg takes.
  absl::Status CollectFrames();
  bool SendCollected();
  bool SendLeftover();
  absl::Status CompleteSent(size_t sent);
  void DetachFirstFrame();

  absl::Status SendToGuest();
  enum class Delivery { kDone, kNoBuffers };
  absl::StatusOr<Delivery> Deliver(absl::Span<const uint8_t> frame);
  absl::StatusOr<Delivery> DeliverMerged(absl::Span<const uint8_t> frame);

  void ContinueLater();
  void Report(const absl::Status& status);
  void Break(const absl::Status& why);

  EventLoop& loop_;
  FrameLink link_;
  virtio::NetConfig config_{};
  Virtqueue* rx_ = nullptr;
  Virtqueue* tx_ = nullptr;
  bool mergeable_ = false;
  std::vector<TxFrame> sending_;  // in order; the first may have gone in part
  size_t sent_of_first_ = 0;
  std::string leftover_;  // the rest of a frame whose memory is the guest's again
  std::optional<EventLoop::TimerId> next_turn_;
  msb::vmm::v1::NetStats stats_;
  absl::Status broken_;  // how the guest broke it; until Reset
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_NET_NET_DEVICE_H_
