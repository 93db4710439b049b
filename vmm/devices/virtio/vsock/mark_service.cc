// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/mark_service.h"

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/frames.h"

namespace msb {

using agent::v1::BootMark;

// Takes every byte at once, and has nothing to say.
class MarkStream final : public HostStream {
 public:
  explicit MarkStream(MarkService& service) : service_(service) { ++service_.streams_; }
  ~MarkStream() override { --service_.streams_; }

  absl::Status Watch(Ready) override { return absl::OkStatus(); }
  absl::Status SetWriteInterest(WriteInterest) override { return absl::OkStatus(); }
  Moved Read(absl::Span<const iovec>) override { return {.state = State::kWouldBlock}; }
  Moved Write(absl::Span<const iovec> from) override;
  void CloseRead() override {}
  void CloseWrite() override {}

 private:
  // False when the bytes are no marks, or too many.
  bool ReadMarks();

  MarkService& service_;
  FrameReader frames_{MarkService::kMaxFrameBytes};
};

HostStream::Moved MarkStream::Write(absl::Span<const iovec> from) {
  Moved moved;
  for (const iovec& piece : from) {
    frames_.Append(absl::string_view(static_cast<const char*>(piece.iov_base), piece.iov_len));
    if (!ReadMarks()) return {.state = State::kBroken};
    moved.bytes += piece.iov_len;
  }
  return moved;
}

bool MarkStream::ReadMarks() {
  while (true) {
    const absl::StatusOr<std::optional<absl::string_view>> frame = frames_.Next();
    if (!frame.ok()) return false;
    if (!frame->has_value()) return true;
    BootMark mark;
    if (!mark.ParseFromArray((*frame)->data(), static_cast<int>((*frame)->size()))) return false;
    if (++service_.marks_ > MarkService::kMaxMarks) return false;
    // A stage of a newer agent means nothing here.
    if (BootMark::Stage_IsValid(mark.stage())) service_.observer_.OnBootMark(mark);
  }
}

std::unique_ptr<HostStream> MarkService::Accept(uint32_t guest_port) {
  if (guest_port > kLastAgentPort || streams_ >= kMaxStreams || marks_ >= kMaxMarks) return nullptr;
  return std::make_unique<MarkStream>(*this);
}

}  // namespace msb
