// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Serves one virtio device to one front end over its end of a connected Unix stream socket.
//
// Threading: the event loop's.

#ifndef MSB_VMM_VHOST_USER_DEVICE_SERVER_H_
#define MSB_VMM_VHOST_USER_DEVICE_SERVER_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/devices/virtio/virtio_device.h"
#include "vmm/vhost_user/memory_table.h"
#include "vmm/vhost_user/message.h"
#include "vmm/vhost_user/session.h"

namespace msb::vhost_user {

class DeviceServer {
 public:
  // Called once when the connection has ended: kUnavailable when the front end hung up, kQemuError
  // when it broke the protocol. The device is reset by then. May destroy the server.
  using OnEnd = std::function<void(absl::Status)>;

  // Between two looks at other events. QEMU starts a device with some twenty.
  static constexpr int kMaxMessagesPerTurn = 64;

  // Begins to serve. All but `socket` and the functions outlive the server.
  static absl::StatusOr<std::unique_ptr<DeviceServer>> Create(
      EventLoop& loop, UniqueFd socket, VirtioDevice& device, MemoryTables& tables, OnEnd on_end,
      Session::OnConfigChange on_config_changed = nullptr);
  DeviceServer(const DeviceServer&) = delete;
  DeviceServer& operator=(const DeviceServer&) = delete;
  ~DeviceServer();

 private:
  DeviceServer(EventLoop& loop, UniqueFd socket, VirtioDevice& device, MemoryTables& tables,
               OnEnd on_end, Session::OnConfigChange on_config_changed);
  void OnReadable();
  absl::Status ServePending();

  EventLoop& loop_;
  UniqueFd socket_;
  OnEnd on_end_;
  MessageReader reader_;
  std::unique_ptr<Session> session_;
};

}  // namespace msb::vhost_user

#endif  // MSB_VMM_VHOST_USER_DEVICE_SERVER_H_
