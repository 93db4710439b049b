// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// All connections of one device: finds the one that a packet is for, keeps those that have
// something for the guest in a queue, gives each its time limits.
//
// Threading: everything on the event loop's thread.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_MUXER_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_MUXER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/devices/virtio/spec/vsock.h"
#include "vmm/devices/virtio/vsock/connection.h"
#include "vmm/devices/virtio/vsock/host_stream.h"
#include "vmm/devices/virtio/vsock/limits.h"
#include "vmm/devices/virtio/vsock/packet.h"

namespace msb {

class Muxer {
 public:
  // Called when an event of the host has made something ready for the guest.
  using OnReady = std::function<void()>;

  Muxer(EventLoop& loop, uint32_t guest_cid, const VsockLimits& limits, OnReady on_ready);
  Muxer(const Muxer&) = delete;
  Muxer& operator=(const Muxer&) = delete;
  ~Muxer();

  // --- The host's side ---
  // `service` outlives the muxer. Not two for one port.
  void RegisterService(uint32_t host_port, HostService& service);
  // A client wants `guest_port`. Closes `socket` when there are too many connections.
  void Connect(UniqueFd socket, uint32_t guest_port);

  // --- The guest's side ---
  // No while too many RSTs wait for the guest to take them: leave its packets in the queue until
  // then (5.10.6.1).
  bool CanReceive() const;
  // Acts on one packet. Whatever it says, the guest can harm no connection but its own.
  void Receive(const TxPacket& packet);

  // RSTs go first: each is a single packet, and the guest frees a port for it.
  bool HasReset() const { return !resets_.empty(); }
  virtio::VsockHeader TakeReset();
  // Connections that want to send, each in its turn: one packet or one read of it, then Sent.
  bool HasReady() const { return !ready_.empty(); }
  Connection& NextReady() { return ready_.front().connection; }
  // NextReady's connection has sent `bytes` of data: it goes to the end of the queue, if it wants
  // more.
  void Sent(size_t bytes);

  // The device was reset. What the guest sent before still goes to the host.
  void DropAll();

  struct Counters {
    uint64_t from_guest_bytes = 0;
    uint64_t to_guest_bytes = 0;
  };
  const Counters& counters() const { return counters_; }
  size_t connections() const { return by_key_.size() + flushing_.size(); }

 private:
  struct Entry;
  using Entries = std::list<Entry>;
  enum class Place { kIdle, kReady, kFlushing };
  struct Entry {
    Entry(const Connection::Endpoints& endpoints, std::unique_ptr<HostStream> stream)
        : connection(endpoints, std::move(stream)) {}
    Entry(const Connection::Endpoints& endpoints, std::unique_ptr<HostStream> stream,
          const virtio::VsockHeader& request)
        : connection(endpoints, std::move(stream), request) {}
    Connection connection;
    Place place = Place::kIdle;
    Entries::iterator self;
    Connection::Wait waits_for = Connection::Wait::kNobody;
    uint32_t seen_progress = 0;
    EventLoop::TimerId timer{};
  };

  void Accept(const virtio::VsockHeader& request);
  void Refuse(const virtio::VsockHeader& header);
  uint32_t FreeHostPort(uint32_t guest_port);
  uint32_t TakeWindow();
  // Takes up an entry that was put at the end of idle_.
  void Start(Entry& entry);
  // Puts `entry` where its connection's state says; may destroy it.
  void Settle(Entry& entry);
  void MoveTo(Place place, Entry& entry);
  void Remove(Entry& entry);
  void SetTimer(Entry& entry);
  void OnTimer(Entry& entry);
  absl::Duration TimeLimit(Connection::Wait wait) const;
  Entries& ListOf(Place place);

  EventLoop& loop_;
  const uint32_t guest_cid_;
  const VsockLimits limits_;
  const OnReady on_ready_;
  absl::flat_hash_map<uint32_t, HostService*> services_;
  absl::flat_hash_map<ConnectionKey, Entry*> by_key_;  // those in idle_ and ready_
  Entries idle_, ready_, flushing_;                    // own the connections
  std::deque<virtio::VsockHeader> resets_;
  uint64_t reserved_window_bytes_ = 0;
  uint32_t next_host_port_;
  Counters counters_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_MUXER_H_
