// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Views of packets in descriptor chains (VIRTIO 1.2, 5.10.6): the header is copied out, the payload
// stays where it is in guest memory.

#ifndef MSB_VMM_DEVICES_VIRTIO_VSOCK_PACKET_H_
#define MSB_VMM_DEVICES_VIRTIO_VSOCK_PACKET_H_

#include <sys/uio.h>

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "vmm/devices/virtio/spec/vsock.h"
#include "vmm/devices/virtio/virtqueue.h"

namespace msb {

// Pieces of guest memory, as readv and sendmsg take them. Their content may change at any moment.
using Iovecs = absl::InlinedVector<iovec, 8>;

uint64_t TotalBytes(absl::Span<const iovec> pieces);

// Appends bytes offset..offset+length of `buffers`, or as much of that as there is.
void AppendPart(absl::Span<const absl::Span<uint8_t>> buffers, uint64_t offset, uint64_t length,
                Iovecs& out);

// A packet from the guest.
struct TxPacket {
  virtio::VsockHeader header;
  Iovecs payload;  // exactly header.length bytes; valid until the chain is completed
};

// Header and payload may share a descriptor or have any number of them. kGuestViolation when the
// chain is shorter than its header says, or has writable parts. Checks no field but the length.
absl::StatusOr<TxPacket> ReadPacket(const DescriptorChain& chain);

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_VSOCK_PACKET_H_
