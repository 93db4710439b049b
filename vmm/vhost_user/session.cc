// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/vhost_user/session.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "vmm/devices/virtio/kick.h"
#include "vmm/devices/virtio/spec/split_ring.h"

namespace msb::vhost_user {
namespace {

// VIRTIO 1.2, section 6.
constexpr uint64_t kFeatureIndirectDescriptors = uint64_t{1} << 28;
constexpr uint64_t kFeatureEventIndex = uint64_t{1} << 29;
constexpr uint64_t kFeatureVersion1 = uint64_t{1} << 32;

constexpr uint64_t kProtocolFeatures =
    kProtocolMultiQueue | kProtocolReplyAck | kProtocolConfig | kProtocolResetDevice;

absl::Status ProtocolError(absl::string_view detail) {
  return MakeError(Reason::kQemuError, absl::StrCat("vhost-user: ", detail));
}

template <typename T>
std::string BytesOf(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
absl::StatusOr<T> PayloadAs(const Message& message) {
  const std::optional<T> value = message.As<T>();
  if (value.has_value()) return *value;
  return ProtocolError(absl::StrCat("request ", static_cast<uint32_t>(message.request), " with ",
                                    message.payload.size(), " bytes"));
}

// A request that only says OK or not: its reply when it asked for one (REPLY_ACK).
absl::StatusOr<std::string> Acknowledge(bool needs_reply, const absl::Status& status) {
  MSB_RETURN_IF_ERROR(status);
  return needs_reply ? BytesOf(uint64_t{0}) : std::string();
}

// The counter of an eventfd adds up: a front end that is slow loses none.
void RaiseInterrupt(const UniqueFd& call) {
  const uint64_t one = 1;
  if (call.valid()) [[maybe_unused]]
    const ssize_t written = ::write(call.get(), &one, sizeof(one));
}

}  // namespace

Session::Session(EventLoop& loop, VirtioDevice& device, MemoryTables& tables,
                 OnConfigChange on_config_changed)
    : loop_(loop),
      device_(device),
      tables_(tables),
      on_config_changed_(std::move(on_config_changed)),
      rings_(device.max_queue_sizes().size()) {
  MSB_CHECK(rings_.size() <= kRingIndexMask);
  for (size_t i = 0; i < rings_.size(); ++i) rings_[i].index = static_cast<uint16_t>(i);
  device_.set_notifier(this);
}

Session::~Session() {
  for (Ring& ring : rings_) StopRing(ring);
  ResetDevice();
  device_.set_notifier(nullptr);
}

absl::StatusOr<std::string> Session::Handle(Message message) {
  const bool ack = message.needs_reply;
  switch (message.request) {
    case Request::kGetFeatures:
      return BytesOf(OfferedFeatures());
    case Request::kSetFeatures:
      return Acknowledge(ack, SetFeatures(message));
    case Request::kSetOwner:
      return Acknowledge(ack, absl::OkStatus());
    case Request::kGetProtocolFeatures:
      return BytesOf(kProtocolFeatures);
    case Request::kSetProtocolFeatures: {
      MSB_ASSIGN_OR_RETURN(const uint64_t features, PayloadAs<uint64_t>(message));
      if ((features & ~kProtocolFeatures) != 0) return ProtocolError("unknown protocol feature");
      return Acknowledge(ack, absl::OkStatus());
    }
    case Request::kGetQueueNumber:
      return BytesOf(uint64_t{rings_.size()});
    case Request::kSetMemoryTable:
      return Acknowledge(ack, SetMemoryTable(std::move(message)));
    case Request::kSetRingSize:
      return Acknowledge(ack, SetRingSize(message));
    case Request::kSetRingAddress:
      return Acknowledge(ack, SetRingAddress(message));
    case Request::kSetRingBase:
      return Acknowledge(ack, SetRingBase(message));
    case Request::kGetRingBase:
      return GetRingBase(message);
    case Request::kSetRingKick:
      return Acknowledge(ack, SetRingKick(std::move(message)));
    case Request::kSetRingCall:
      return Acknowledge(ack, SetRingCall(std::move(message)));
    case Request::kSetRingError:
      // Taken and closed: QEMU would only print that there was an error, and we say which.
      return Acknowledge(ack, RingDescriptor(message).status());
    case Request::kSetRingEnable:
      return Acknowledge(ack, SetRingEnable(message));
    case Request::kGetConfig:
      return GetConfig(message);
    case Request::kSetConfig:
      return Acknowledge(ack, SetConfig(message));
    case Request::kResetOwner:
    case Request::kResetDevice:
      for (Ring& ring : rings_) StopRing(ring);
      ResetDevice();
      return Acknowledge(ack, absl::OkStatus());
  }
  return ProtocolError(
      absl::StrCat("request ", static_cast<uint32_t>(message.request), " is not served"));
}

uint64_t Session::OfferedFeatures() const {
  return device_.features() | kFeatureIndirectDescriptors | kFeatureEventIndex | kFeatureVersion1 |
         kFeatureProtocolFeatures;
}

absl::StatusOr<Session::Ring*> Session::RingAt(uint64_t index) {
  if (index < rings_.size()) return &rings_[index];
  return ProtocolError(absl::StrCat("ring ", index, " of a device with ", rings_.size()));
}

// The descriptor of SET_VRING_{KICK,CALL,ERR}; invalid where the message says that there is none.
absl::StatusOr<UniqueFd> Session::RingDescriptor(Message& message) const {
  MSB_ASSIGN_OR_RETURN(const uint64_t value, PayloadAs<uint64_t>(message));
  const size_t expected = (value & kRingNoDescriptor) != 0 ? 0 : 1;
  if (message.descriptors.size() != expected) {
    return ProtocolError(
        absl::StrCat("ring event with ", message.descriptors.size(), " descriptors"));
  }
  return expected == 0 ? UniqueFd() : std::move(message.descriptors[0]);
}

absl::Status Session::SetFeatures(const Message& message) {
  MSB_ASSIGN_OR_RETURN(const uint64_t features, PayloadAs<uint64_t>(message));
  if ((features & ~OfferedFeatures()) != 0) return ProtocolError("a feature that was not offered");
  features_ = features & ~kFeatureProtocolFeatures;
  return absl::OkStatus();
}

absl::Status Session::SetMemoryTable(Message message) {
  MSB_ASSIGN_OR_RETURN(std::shared_ptr<const MemoryTable> table, tables_.Map(std::move(message)));
  if (table == table_) return absl::OkStatus();
  if (AnyRunning()) return ProtocolError("memory changes under running rings");
  table_ = std::move(table);
  return absl::OkStatus();
}

absl::Status Session::SetRingSize(const Message& message) {
  MSB_ASSIGN_OR_RETURN(const RingState state, PayloadAs<RingState>(message));
  MSB_ASSIGN_OR_RETURN(Ring * ring, RingAt(state.index));
  ring->size = state.value;  // the guest's: checked at the start
  return absl::OkStatus();
}

absl::Status Session::SetRingAddress(const Message& message) {
  MSB_ASSIGN_OR_RETURN(const RingAddress address, PayloadAs<RingAddress>(message));
  MSB_ASSIGN_OR_RETURN(Ring * ring, RingAt(address.index));
  if (address.flags != 0) return ProtocolError("dirty log was not offered");
  ring->address = address;
  return absl::OkStatus();
}

absl::Status Session::SetRingBase(const Message& message) {
  MSB_ASSIGN_OR_RETURN(const RingState state, PayloadAs<RingState>(message));
  MSB_ASSIGN_OR_RETURN(Ring * ring, RingAt(state.index));
  if (state.value > UINT16_MAX) return ProtocolError("ring base of more than 16 bits");
  ring->base = static_cast<uint16_t>(state.value);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Session::GetRingBase(const Message& message) {
  MSB_ASSIGN_OR_RETURN(const RingState state, PayloadAs<RingState>(message));
  MSB_ASSIGN_OR_RETURN(Ring * ring, RingAt(state.index));
  StopRing(*ring);
  ring->kick.Reset();  // to be served again, it is set up again
  const RingState reply{.index = state.index, .value = ring->position()};
  if (state_ == State::kBroken) ResetDevice();
  return BytesOf(reply);
}

absl::Status Session::SetRingKick(Message message) {
  MSB_ASSIGN_OR_RETURN(UniqueFd kick, RingDescriptor(message));
  MSB_ASSIGN_OR_RETURN(Ring * ring, RingAt(*message.As<uint64_t>() & kRingIndexMask));
  if (ring->running) return ProtocolError("kick changes under a running ring");
  if (!kick.valid()) return ProtocolError("ring that is to be polled");
  ring->kick = std::move(kick);
  return ring->enabled ? StartEnabledRings() : absl::OkStatus();
}

absl::Status Session::SetRingCall(Message message) {
  MSB_ASSIGN_OR_RETURN(UniqueFd call, RingDescriptor(message));
  MSB_ASSIGN_OR_RETURN(Ring * ring, RingAt(*message.As<uint64_t>() & kRingIndexMask));
  const bool replaces = ring->call.valid();
  // Whoever interrupts by the old one stops before it goes.
  const bool is_held = ring->running && device_.watches_kicks();
  if (is_held) device_.Quiesce();
  ring->call = std::move(call);
  // An interrupt may have gone to the old one while nobody listened there.
  if (replaces && ring->running) RaiseInterrupt(ring->call);
  if (is_held) Notify(*ring);
  return absl::OkStatus();
}

absl::Status Session::SetRingEnable(const Message& message) {
  MSB_ASSIGN_OR_RETURN(const RingState state, PayloadAs<RingState>(message));
  MSB_ASSIGN_OR_RETURN(Ring * ring, RingAt(state.index));
  ring->enabled = state.value == 1;
  if (ring->enabled) return ring->configured() ? StartRing(*ring) : absl::OkStatus();
  StopRing(*ring);
  return absl::OkStatus();
}

// Replies with as many bytes as were asked for: a device's config may be shorter than what the
// front end knows of, and reads as zero there.
absl::StatusOr<std::string> Session::GetConfig(const Message& message) const {
  ConfigHeader header;
  if (message.payload.size() < sizeof(header)) return ProtocolError("GET_CONFIG without a header");
  std::memcpy(&header, message.payload.data(), sizeof(header));
  if (header.offset > kMaxConfigBytes || header.size > kMaxConfigBytes - header.offset) {
    return ProtocolError("GET_CONFIG past the end");
  }
  std::string config(kMaxConfigBytes, '\0');
  const absl::Span<const uint8_t> bytes = device_.config();
  std::copy_n(bytes.begin(), std::min<size_t>(bytes.size(), config.size()), config.begin());
  return BytesOf(header) + config.substr(header.offset, header.size);
}

absl::Status Session::SetConfig(const Message& message) {
  ConfigHeader header;
  if (message.payload.size() < sizeof(header)) return ProtocolError("SET_CONFIG without a header");
  std::memcpy(&header, message.payload.data(), sizeof(header));
  if (header.size != message.payload.size() - sizeof(header)) {
    return ProtocolError("SET_CONFIG of another length than its bytes");
  }
  const size_t length = device_.config().size();
  // Where to write is the guest's choice.
  if (header.offset > length || header.size > length - header.offset) return absl::OkStatus();
  const auto* bytes = reinterpret_cast<const uint8_t*>(message.payload.data()) + sizeof(header);
  device_.WriteConfig(header.offset, absl::MakeConstSpan(bytes, header.size));
  return absl::OkStatus();
}

bool Session::AnyRunning() const {
  return std::any_of(rings_.begin(), rings_.end(), [](const Ring& ring) { return ring.running; });
}

// Of rings that were enabled before they were set up: once the last of them is.
absl::Status Session::StartEnabledRings() {
  for (const Ring& ring : rings_) {
    if (ring.enabled && !ring.configured()) return absl::OkStatus();
  }
  for (Ring& ring : rings_) {
    if (ring.enabled) MSB_RETURN_IF_ERROR(StartRing(ring));
  }
  return absl::OkStatus();
}

absl::Status Session::StartRing(Ring& ring) {
  if (ring.running) return absl::OkStatus();
  if (!AnyRunning()) MSB_RETURN_IF_ERROR(StartDevice());
  if (state_ == State::kBroken) return absl::OkStatus();
  if (ring.queue == nullptr) return ProtocolError("ring set up behind the start of its device");
  if (!device_.watches_kicks()) {
    MSB_RETURN_IF_ERROR(
        loop_.Watch(ring.kick.get(), EPOLLIN, [this, &ring](uint32_t) { OnKick(ring); }));
  }
  ring.running = true;
  ring.queue->Resume();
  // For what came while nobody listened, on either side.
  if (ring.queue->next_used() != 0) RaiseInterrupt(ring.call);
  Notify(ring);
  return absl::OkStatus();
}

void Session::StopRing(Ring& ring) {
  if (!ring.running) return;
  Unwatch(ring);
  ring.running = false;
  // What a thread of the device still has of the ring: behind the stop, the memory is the guest's.
  device_.Quiesce();
  if (ring.queue != nullptr) ring.queue->Suspend();
  if (!device_.watches_kicks()) return;
  // It has come to rest with all of its rings.
  for (const Ring& other : rings_) {
    if (other.running) Notify(other);
  }
}

absl::Status Session::StartDevice() {
  if (table_ == nullptr) return ProtocolError("ring enabled before there was memory");
  MSB_ASSIGN_OR_RETURN(const bool continues, ContinuesWhereItStopped());
  if (continues) return absl::OkStatus();
  ResetDevice();
  return ActivateDevice();
}

absl::StatusOr<bool> Session::ContinuesWhereItStopped() const {
  if (state_ != State::kActive) return false;
  if (features_ != activation_->features || table_ != activation_->table) return false;
  for (const Ring& ring : rings_) {
    if (ring.configured() != (ring.queue != nullptr)) return false;
    if (ring.queue == nullptr) continue;
    MSB_ASSIGN_OR_RETURN(const VirtqueueLayout layout, LayoutOf(ring));
    if (!(layout == ring.queue->layout()) || ring.base != ring.queue->next_available())
      return false;
  }
  return true;
}

absl::StatusOr<VirtqueueLayout> Session::LayoutOf(const Ring& ring) const {
  const auto size = static_cast<uint16_t>(std::min<uint32_t>(ring.size, UINT16_MAX));
  VirtqueueLayout layout{.size = size};
  MSB_ASSIGN_OR_RETURN(layout.descriptor_table,
                       table_->Translate(ring.address->descriptor_table,
                                         uint64_t{sizeof(virtio::Descriptor)} * size));
  MSB_ASSIGN_OR_RETURN(layout.driver_area,
                       table_->Translate(ring.address->driver_area, virtio::AvailableBytes(size)));
  MSB_ASSIGN_OR_RETURN(layout.device_area,
                       table_->Translate(ring.address->device_area, virtio::UsedBytes(size)));
  return layout;
}

absl::Status Session::ActivateDevice() {
  std::vector<Virtqueue*> queues;
  for (Ring& ring : rings_) {
    queues.push_back(nullptr);
    if (!ring.configured()) continue;
    MSB_ASSIGN_OR_RETURN(const VirtqueueLayout layout, LayoutOf(ring));
    absl::StatusOr<Virtqueue> queue = MakeQueue(ring, layout);
    if (!queue.ok()) {
      GuestBroke(queue.status());
      return absl::OkStatus();
    }
    queue->SetPosition(ring.base, ring.base);  // nothing is under way in a ring that starts
    queue->Suspend();
    ring.queue = std::make_unique<Virtqueue>(*std::move(queue));
    queues.back() = ring.queue.get();
  }
  activation_ = Activation{.features = features_, .table = table_};
  state_ = State::kActive;
  const absl::Status activated = device_.Activate(features_, queues);
  if (!activated.ok()) GuestBroke(activated);
  return absl::OkStatus();
}

absl::StatusOr<Virtqueue> Session::MakeQueue(Ring& ring, const VirtqueueLayout& layout) const {
  if ((features_ & kFeatureVersion1) == 0) {
    return MakeError(Reason::kGuestViolation, "driver of the time before VIRTIO 1.0");
  }
  if (ring.size > kMaxRingSize) {
    return MakeError(Reason::kGuestViolation, absl::StrCat("queue of ", ring.size));
  }
  return Virtqueue::Create(table_->memory(), layout, (features_ & kFeatureEventIndex) != 0,
                           [&ring] { RaiseInterrupt(ring.call); });
}

void Session::ResetDevice() {
  if (activation_.has_value()) device_.Reset();
  for (Ring& ring : rings_) ring.queue.reset();
  activation_.reset();
  state_ = State::kIdle;
}

void Session::OnKick(Ring& ring) {
  if (!TakeKick(ring.kick.get())) return loop_.Unwatch(ring.kick.get());
  Notify(ring);
}

void Session::Unwatch(const Ring& ring) {
  if (!device_.watches_kicks()) loop_.Unwatch(ring.kick.get());
}

void Session::Notify(const Ring& ring) {
  if (state_ != State::kActive) return;
  if (device_.watches_kicks()) {
    for (Ring& each : rings_) {
      if (each.queue != nullptr) each.queue->set_events({each.kick.get(), each.call.get()});
    }
  }
  const absl::Status notified = device_.OnNotify(ring.index);
  if (!notified.ok()) GuestBroke(notified);
}

// VIRTIO 1.2, 2.1.2 would set DEVICE_NEEDS_RESET; the protocol has no way to say it. The device may
// be in the middle of what found the fault: it is reset when its rings are stopped.
void Session::GuestBroke(const absl::Status& how) {
  if (state_ == State::kBroken) return;
  // Once: a guest that breaks its device and resets it in turn must not fill the log.
  if (!std::exchange(violation_logged_, true)) {
    MSB_LOG(kWarning) << "device " << static_cast<uint32_t>(device_.id())
                      << " stops until the driver resets it: " << EscapeForLog(how.message());
  }
  state_ = State::kBroken;
  for (Ring& ring : rings_) {
    if (std::exchange(ring.running, false)) Unwatch(ring);
    if (ring.queue != nullptr) ring.queue->Suspend();
  }
}

}  // namespace msb::vhost_user
