// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Sequences of what a guest and clients on the host may do, in any order. As long as a guest keeps
// to the rules in a connection, its bytes arrive whole, in order and once in both directions, the
// device stays within the credit it was given, and nothing that was sent before an orderly end is
// lost.

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/unix_socket.h"
#include "tests/support/fuzz_input.h"
#include "vmm/devices/virtio/vsock/fake_vsock_driver.h"
#include "vmm/devices/virtio/vsock/vsock_device.h"

namespace msb {
namespace {

using virtio::VsockHeader;
using virtio::VsockOp;

constexpr int kMaxSteps = 300;
constexpr size_t kMaxClients = 8;
constexpr uint32_t kGuestPorts = 4;
constexpr VsockLimits kLimits{.max_connections = 6,
                              .window_bytes = 8192,
                              .small_window_bytes = 1024,
                              .window_budget_bytes = 3 * 8192,
                              .max_handshakes = 3};

// The content of every stream: position and port tell each byte.
char ByteAt(uint64_t position, uint32_t guest_port) {
  return static_cast<char>(position * 7 + (position >> 8) + guest_port * 31);
}
std::string BytesAt(uint64_t position, size_t size, uint32_t guest_port) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = ByteAt(position + i, guest_port);
  return bytes;
}

EventLoop& Loop() {
  static EventLoop* const loop = EventLoop::Create()->release();
  return *loop;
}
void Turn() {
  Loop().Post([] { Loop().Stop(); });
  MSB_CHECK(Loop().Run().ok());
}

// One listening socket for all runs: each device gets a duplicate.
class Listener {
 public:
  Listener() : path_(absl::StrCat("/tmp/msb-vsock-fuzz-", ::getpid())) { fd_ = *ListenUnix(path_); }
  ~Listener() { ::unlink(path_.c_str()); }
  UniqueFd Duplicate() {
    while (AcceptUnix(fd_.get(), Blocking::kNo).ok()) continue;  // what the last run left
    return UniqueFd(::dup(fd_.get()));
  }
  UniqueFd Connect() {
    absl::StatusOr<UniqueFd> client = ConnectUnix(path_, Blocking::kNo);
    return client.ok() ? *std::move(client) : UniqueFd();
  }

 private:
  const std::string path_;
  UniqueFd fd_;
};
Listener& TheListener() {
  static Listener listener;
  return listener;
}

using Key = std::pair<uint32_t, uint32_t>;  // host port, guest port

// What the guest knows of a connection, and what the test holds the device to.
struct GuestSide {
  bool open = false;
  bool honest = true;  // has kept to the rules so far
  bool send_ended = false;
  bool receive_ended = false;
  bool host_ended = false;  // as the device has said
  uint32_t sent = 0;
  uint32_t received = 0;
  uint32_t forwarded = 0;  // as it has told the device
  uint32_t device_buf_alloc = 0;
  uint32_t device_fwd_cnt = 0;
  uint32_t credit() const { return device_buf_alloc - (sent - device_fwd_cnt); }
};
struct Client {
  UniqueFd fd;
  uint32_t guest_port = 0;
  std::string line;  // the device's OK, as it comes
  std::optional<uint32_t> host_port;
  uint64_t sent = 0;
  uint64_t received = 0;
  bool reads = true;
  bool writes = true;
  bool ended = false;
};
// Of a connection that an honest guest closed: how much its client has to get.
using Farewells = std::map<Key, uint32_t>;

class Scenario {
 public:
  explicit Scenario(FuzzInput input) : input_(input) { Boot(); }
  void Run() {
    for (int i = 0; i < kMaxSteps && !input_.empty(); ++i) Step();
    Settle();
  }

 private:
  void Boot() {
    device_.reset();
    connections_.clear();
    farewells_.clear();
    clients_.clear();
    rx_held_ = 0;
    const uint8_t shape = input_.Take<uint8_t>();
    driver_ = std::make_unique<FakeVsockDriver>(
        FakeVsockDriver::Options{.rx_payload_bytes = 1u << (shape % 13),
                                 .rx_buffers = 0,
                                 .event_index = (shape & 0x80) != 0,
                                 .memory_bytes = 2 << 20});
    device_ = std::make_unique<VsockDevice>(Loop(), 3, kLimits);
    MSB_CHECK(device_->Listen(TheListener().Duplicate()).ok());
    if ((shape & 0x40) != 0) {
      vmm::v1::DeviceState state = device_->Save();
      MSB_CHECK(device_->Restore(state).ok());
      driver_->AddEventBuffers(1 + shape % 2);
    }
    MSB_CHECK(driver_->Attach(*device_).ok());
  }

  void Step() {
    switch (input_.Take<uint8_t>() % 12) {
      case 0:
        return NewClient();
      case 1:
        return ClientSends(PickClient());
      case 2:
        return ClientReceives(PickClient(), input_.Take<uint16_t>());
      case 3:
        return ClientEnds(PickClient());
      case 4:
        return AddBuffers(input_.Take<uint8_t>() % 32);
      case 5:
        return GuestReceives();
      case 6:
      case 7:
        return GuestBehaves();
      case 8:
        return GuestMisbehaves();
      case 9:
        return AcknowledgeEvents();
      case 10:
        if (input_.Take<uint8_t>() % 16 == 0) Boot();
        return;
      default:
        return Turn();
    }
  }

  // --- The host ---

  Client* PickClient() {
    const uint8_t which = input_.Take<uint8_t>();
    return clients_.empty() ? nullptr : &clients_[which % clients_.size()];
  }

  void NewClient() {
    const uint8_t how = input_.Take<uint8_t>();
    if (clients_.size() == kMaxClients) clients_.erase(clients_.begin());
    Client client{.fd = TheListener().Connect(), .guest_port = how % kGuestPorts};
    if (!client.fd.valid()) return;
    std::string line = absl::StrCat("CONNECT ", client.guest_port, "\n");
    if ((how & 0xf0) == 0xf0) line = line.substr(0, how % line.size());
    (void)!::send(client.fd.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    clients_.push_back(std::move(client));
  }

  void ClientSends(Client* client) {
    const uint16_t size = input_.Take<uint16_t>() % 20'000;
    if (client == nullptr) return;
    const std::string bytes = BytesAt(client->sent, size, client->guest_port);
    const ssize_t sent =
        ::send(client->fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) client->sent += static_cast<uint64_t>(sent);
  }

  void ClientReceives(Client* client, size_t most) {
    if (client == nullptr || !client->reads || client->ended) return;
    std::string bytes(most + 1, '\0');
    const ssize_t got = ::recv(client->fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno == ECONNRESET)) client->ended = true;
    if (got <= 0) return;
    bytes.resize(static_cast<size_t>(got));
    size_t at = 0;
    while (!client->host_port.has_value() && at < bytes.size()) {
      client->line += bytes[at++];
      if (client->line.back() == '\n') TakeOk(*client);
    }
    for (; at < bytes.size(); ++at, ++client->received) {
      if (!Honest({*client->host_port, client->guest_port})) return;
      MSB_CHECK(bytes[at] == ByteAt(client->received, client->guest_port));
    }
  }
  void TakeOk(Client& client) {
    absl::string_view line = client.line;
    uint32_t port = 0;
    MSB_CHECK(absl::ConsumePrefix(&line, "OK ") && absl::ConsumeSuffix(&line, "\n"));
    MSB_CHECK(absl::SimpleAtoi(line, &port));
    client.host_port = port;
  }

  void ClientEnds(Client* client) {
    const uint8_t how = input_.Take<uint8_t>();
    if (client == nullptr) return;
    if (how % 4 < 2) ::shutdown(client->fd.get(), how % 4 == 0 ? SHUT_WR : SHUT_RD);
    if (how % 4 == 0) client->writes = false;
    if (how % 4 == 1) client->reads = false;
    if (how % 4 == 2) clients_.erase(clients_.begin() + (client - clients_.data()));
  }

  // --- The guest ---

  bool Honest(const Key& key) {
    const auto it = connections_.find(key);
    return it == connections_.end() ? farewells_.contains(key) : it->second.honest;
  }

  void AddBuffers(size_t count) {
    const size_t room = 64 - std::min<size_t>(64, rx_held_);
    count = std::min(count, room);
    driver_->AddRxBuffers(count);
    rx_held_ += count;
    Kick(virtio::kVsockRxQueue);
  }

  void Kick(uint16_t queue) {
    const absl::Status status = driver_->Kick(queue);
    MSB_CHECK(status.ok());  // these rings are in order
  }

  void GuestReceives() {
    for (const FakePacket& packet : driver_->ReceiveAndHold()) {
      --rx_held_;
      OnPacket(packet);
    }
  }

  void OnPacket(const FakePacket& packet) {
    const VsockHeader& header = packet.header;
    const Key key{header.src_port, header.dst_port};
    if (header.op == VsockOp::kReset) {
      connections_.erase(key);
      return;
    }
    if (header.op == VsockOp::kRequest) connections_[key] = GuestSide();
    const auto it = connections_.find(key);
    if (it == connections_.end()) return;  // it was on its way when the guest closed
    GuestSide& side = it->second;
    side.device_buf_alloc = header.buf_alloc;
    side.device_fwd_cnt = header.fwd_cnt;
    if (header.op == VsockOp::kShutdown) {
      side.host_ended = (header.flags & virtio::kVsockShutdownSend) != 0;
    }
    if (!side.honest) return;
    MSB_CHECK(side.sent - header.fwd_cnt <= header.buf_alloc);
    if (header.op != VsockOp::kReadWrite) return;
    MSB_CHECK(side.open && !packet.payload.empty());
    MSB_CHECK(packet.payload == BytesAt(side.received, packet.payload.size(), key.second));
    side.received += header.length;
    MSB_CHECK(side.received - side.forwarded <= kGuestBufAlloc);
  }

  std::optional<Key> PickConnection() {
    const uint8_t which = input_.Take<uint8_t>();
    if (connections_.empty()) return std::nullopt;
    return std::next(connections_.begin(), which % connections_.size())->first;
  }

  void Send(VsockHeader header, absl::string_view payload = {}) {
    if (driver_->unsent() > 50) return;  // the device waits for buffers
    header.length = static_cast<uint32_t>(payload.size());
    driver_->Queue(header, payload);
    Kick(virtio::kVsockTxQueue);
  }
  VsockHeader Header(const Key& key, const GuestSide& side, VsockOp op) {
    VsockHeader header = driver_->Header(op, key.second, key.first);
    header.buf_alloc = kGuestBufAlloc;
    header.fwd_cnt = side.forwarded;
    return header;
  }

  // What the state of a connection allows.
  void GuestBehaves() {
    const std::optional<Key> key = PickConnection();
    const uint8_t how = input_.Take<uint8_t>();
    if (!key.has_value() || driver_->unsent() > 50) return;
    GuestSide& side = connections_[*key];
    if (!side.open) {
      side.open = true;
      return Send(Header(*key, side, VsockOp::kResponse));
    }
    switch (how % 8) {
      case 0:
        side.forwarded = side.received;
        return Send(Header(*key, side, VsockOp::kCreditUpdate));
      case 1:
        return Send(Header(*key, side, VsockOp::kCreditRequest));
      case 2:
        return Shut(*key, side, 1 + (how >> 3) % 3);
      case 3:
        Close(*key, side);
        return Send(Header(*key, GuestSide(), VsockOp::kReset));
      case 4:
        return WriteALot(*key);
      default:
        return Write(*key, side, (size_t{how} >> 3) * 37);
    }
  }
  void Write(const Key& key, GuestSide& side, size_t size) {
    if (side.send_ended) return;
    size = std::min<size_t>(size, side.credit());
    const std::string bytes = BytesAt(side.sent, size, key.second);
    side.sent += static_cast<uint32_t>(size);
    Send(Header(key, side, VsockOp::kReadWrite), bytes);
  }
  // More than the socket of a client that does not read takes.
  void WriteALot(const Key& key) {
    for (int i = 0; i < 64 && driver_->unsent() <= 50; ++i) {
      const auto it = connections_.find(key);
      if (it == connections_.end()) return;
      Write(key, it->second, kLimits.window_bytes);
      AddBuffers(2);
      GuestReceives();
    }
  }
  void Shut(const Key& key, GuestSide& side, uint32_t flags) {
    VsockHeader header = Header(key, side, VsockOp::kShutdown);
    header.flags = flags;
    side.send_ended |= (flags & virtio::kVsockShutdownSend) != 0;
    side.receive_ended |= (flags & virtio::kVsockShutdownReceive) != 0;
    if (side.send_ended && side.receive_ended) Close(key, side);
    Send(header);
  }
  void Close(const Key& key, const GuestSide& side) {
    if (side.honest) farewells_[key] = side.sent;
    connections_.erase(key);
  }

  void GuestMisbehaves() {
    VsockHeader header = driver_->Header(static_cast<VsockOp>(input_.Take<uint8_t>() % 10),
                                         input_.Take<uint8_t>() % kGuestPorts, 7);
    header.flags = input_.Take<uint8_t>() % 4;
    header.buf_alloc = input_.Take<uint32_t>();
    header.fwd_cnt = input_.Take<uint32_t>();
    if (const std::optional<Key> key = PickConnection(); key.has_value()) {
      header.dst_port = key->first;
      header.src_port = key->second;
      connections_[*key].honest = false;
    }
    const uint8_t twist = input_.Take<uint8_t>();
    if (twist % 8 == 0) header.dst_cid = twist;
    if (twist % 8 == 1) header.src_cid = twist;
    if (twist % 8 == 2) header.type = virtio::VsockType::kSeqPacket;
    Send(header, std::string(input_.Take<uint16_t>() % 9000, '!'));
  }

  void AcknowledgeEvents() {
    const size_t events = driver_->Events().size();
    if (events == 0) return;
    driver_->AddEventBuffers(events);
    Kick(virtio::kVsockEventQueue);
  }

  // Everybody reads until nothing moves; then every farewell must have been heard.
  void Settle() {
    for (int quiet = 0; quiet < 3; ++quiet) {
      const size_t before = TotalReceived();
      GuestReceives();
      GuestGivesCredit();
      AcknowledgeEvents();
      AddBuffers(64);
      Turn();
      for (Client& client : clients_) ClientReceives(&client, 65'536);
      if (TotalReceived() != before) quiet = -1;
    }
    for (const Client& client : clients_) {
      if (client.host_port.has_value() && client.reads) CheckOutcome(client);
    }
  }
  void GuestGivesCredit() {
    for (auto& [key, side] : connections_) {
      if (!side.honest || !side.open || side.forwarded == side.received) continue;
      if (driver_->unsent() > 50) return;
      side.forwarded = side.received;
      Send(Header(key, side, VsockOp::kCreditUpdate));
    }
  }
  void CheckOutcome(const Client& client) {
    const Key key{*client.host_port, client.guest_port};
    if (const auto farewell = farewells_.find(key); farewell != farewells_.end()) {
      MSB_CHECK(client.received == farewell->second && client.ended);
    }
    const auto it = connections_.find(key);
    if (it == connections_.end() || !it->second.honest) return;
    // Everybody has read: nobody waits for the other, and ends have arrived.
    const GuestSide& side = it->second;
    if (!client.ended) {
      MSB_CHECK(client.received == side.sent);
      MSB_CHECK(side.sent - side.device_fwd_cnt < std::min(side.device_buf_alloc, kGuestBufAlloc));
    }
    if (!side.receive_ended) {
      MSB_CHECK(side.received == client.sent && side.host_ended == !client.writes);
    }
  }
  size_t TotalReceived() const {
    size_t total = 0;
    for (const Client& client : clients_) total += client.received + client.line.size();
    for (const auto& [key, side] : connections_) total += side.received;
    return total;
  }

  static constexpr uint32_t kGuestBufAlloc = 6000;
  FuzzInput input_;
  std::unique_ptr<FakeVsockDriver> driver_;  // outlives the device
  std::unique_ptr<VsockDevice> device_;
  std::map<Key, GuestSide> connections_;
  Farewells farewells_;
  std::vector<Client> clients_;
  size_t rx_held_ = 0;  // by the device
};

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::Scenario(msb::FuzzInput(data, size)).Run();
  return 0;
}
