// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One stream between a guest port and a host port: the protocol of VIRTIO 1.2, 5.10.6.3
// to 5.10.6.5, between packets on one side and a HostStream on the other.
//
// Knows no queue and no neighbour. Somebody else (Muxer) calls it when there is news from either
// side, then looks at what it wants: wants_to_send(), state(), waiting_for().

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_CONNECTION_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_CONNECTION_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/types/span.h"
#include "vmm/devices/virtio/spec/vsock.h"
#include "vmm/devices/virtio/vsock/byte_queue.h"
#include "vmm/devices/virtio/vsock/host_stream.h"
#include "vmm/devices/virtio/vsock/packet.h"

namespace msb {

struct ConnectionKey {
  uint32_t host_port;
  uint32_t guest_port;
  friend bool operator==(const ConnectionKey&, const ConnectionKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const ConnectionKey& key) {
    return H::combine(std::move(h), key.host_port, key.guest_port);
  }
};

class Connection {
 public:
  enum class State {
    kRequesting,  // the host wants it: REQUEST is to be sent
    kRequested,   // the guest has not answered yet
    kAccepting,   // the guest wants it: RESPONSE is to be sent
    kOpen,
    kFlushing,  // over for the guest; the host still takes what the guest sent before
    kEnded,
  };
  // Whom a time limit should run for.
  enum class Wait {
    kNobody,
    kResponse,     // the guest's, to our REQUEST
    kReset,        // the guest's, to our SHUTDOWN of both directions
    kGuestReader,  // the host is gone and the guest does not take what it has left
    kHostReader,   // the guest is gone and the host does not take what it has left
  };
  struct Endpoints {
    ConnectionKey key;
    uint32_t guest_cid;
    uint32_t window_bytes;  // what the guest may send before it gets credit again
  };

  // The host connects.
  Connection(const Endpoints& endpoints, std::unique_ptr<HostStream> stream);
  // The guest connects by `request`.
  Connection(const Endpoints& endpoints, std::unique_ptr<HostStream> stream,
             const virtio::VsockHeader& request);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  State state() const { return state_; }
  Wait waiting_for() const;
  // Moves on whenever the peer that waiting_for() names moves bytes.
  uint32_t progress() const;
  const Endpoints& endpoints() const { return endpoints_; }
  HostStream& stream() { return *stream_; }

  // --- News ---
  // A packet of the guest with our ports. What breaks the protocol ends the connection.
  void OnPacket(const TxPacket& packet);
  // `what`: bits of HostStream.
  void OnStreamReady(uint32_t what);
  // waiting_for() has lasted too long.
  void OnTimeout();
  // The device was reset: ends without a word to the guest.
  void OnGuestGone() { End(Reset::kNotOwed); }

  // --- Packets to the guest: first the control packets, then data ---
  bool wants_to_send() const;
  // The next packet without payload; nullopt when only data is to be sent.
  std::optional<virtio::VsockHeader> TakeControl();
  // For how many bytes to look for buffers; 0 when there is nothing to read, or no credit for it.
  size_t ReadGoal() const;
  // The most to offer: the guest's credit, and a turn's share. At least the goal.
  size_t ReadLimit() const;
  // Reads from the host into `room`, at most the limit; returns how many bytes came.
  size_t ReadInto(absl::Span<const iovec> room);
  // For packets with the bytes just read.
  virtio::VsockHeader DataHeader();
  // Once after the end: whether the guest must still hear of it, by a RST.
  bool TakeResetOwed() { return std::exchange(reset_owed_, false); }
  virtio::VsockHeader ResetHeader() const;

 private:
  enum class Reset { kOwed, kNotOwed };

  void LearnCredit(const virtio::VsockHeader& header);
  void OnResponse();
  void OnShutdown(uint32_t flags);
  void OnData(absl::Span<const iovec> payload, uint32_t length);
  // Gives `pieces` to the host as far as it takes them; returns how far.
  size_t WriteToHost(absl::Span<const iovec> pieces);
  void Flush();
  void OnFlushed();
  void OnHostGone();
  void StopWriting();
  // Ends it for the guest's fault, or when nothing better is left.
  void Abort();
  void End(Reset reset);

  bool CanRead() const;
  uint32_t Credit() const;
  uint32_t ShutdownToSend() const;
  bool CreditUpdateDue() const;
  bool CreditRequestDue() const;
  virtio::VsockHeader Header(virtio::VsockOp op);

  const Endpoints endpoints_;
  const std::unique_ptr<HostStream> stream_;
  State state_;
  bool reset_owed_ = false;

  // Guest to host. Counters of bytes wrap, as they do on the wire.
  uint32_t received_ = 0;    // rx_cnt
  uint32_t forwarded_ = 0;   // fwd_cnt: taken by the host, or dropped since nobody will
  uint32_t advertised_ = 0;  // fwd_cnt as the guest knows it
  bool credit_update_asked_ = false;
  bool write_ended_ = false;  // the host takes no more
  ByteQueue unwritten_;

  // Host to guest.
  uint32_t sent_ = 0;  // tx_cnt
  uint32_t peer_buf_alloc_ = 0;
  uint32_t peer_fwd_cnt_ = 0;
  size_t read_goal_;
  bool credit_requested_ = false;  // since the credit ran out
  bool readable_ = false;          // there may be something to read
  bool input_ends_ = false;        // behind what can still be read
  bool read_ended_ = false;        // end of stream was read
  bool host_gone_ = false;

  uint32_t guest_shutdown_ = 0;  // kVsockShutdown* as the guest sent them
  uint32_t sent_shutdown_ = 0;   // and as we did
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_CONNECTION_H_
