// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/supervisor/fake_vmm.h"

#include <poll.h>
#include <sys/socket.h>

#include <condition_variable>
#include <ctime>

#include "base/frames.h"
#include "base/unix_socket.h"

namespace msb {

using msb::vmm::v1::ControlRequest;
using msb::vmm::v1::ControlResponse;
using msb::vmm::v1::VmEvent;

FakeVmm::FakeVmm(const std::string& control_socket) : listener_(*ListenUnix(control_socket)) {
  acceptor_ = std::thread([this] { Accept(); });
}

void FakeVmm::StopListening() { ::shutdown(listener_.get(), SHUT_RDWR); }

FakeVmm::~FakeVmm() {
  StopListening();
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& client : clients_) ::shutdown(client->fd.get(), SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
}

void FakeVmm::Emit(VmEvent::Kind kind) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  VmEvent event;
  event.set_kind(kind);
  event.set_monotonic_ns(static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
  const std::lock_guard lock(mutex_);
  events_.push_back(event);
  for (const auto& client : clients_) {
    if (client->watching) SendEventLocked(*client, event);
  }
}

void FakeVmm::SendRaw(const std::string& bytes) {
  const std::lock_guard lock(mutex_);
  for (const auto& client : clients_) {
    ::send(client->fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
}

void FakeVmm::WaitForWatcher() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    for (const auto& client : clients_) {
      if (client->watching) return true;
    }
    return false;
  });
}

void FakeVmm::Accept() {
  while (true) {
    pollfd poll_fd{listener_.get(), POLLIN, 0};
    ::poll(&poll_fd, 1, -1);
    if ((poll_fd.revents & POLLHUP) != 0) return;
    absl::StatusOr<UniqueFd> fd = AcceptUnix(listener_.get(), Blocking::kYes);
    if (!fd.ok()) continue;
    const auto client = std::make_shared<Client>();
    client->fd = *std::move(fd);
    const std::lock_guard lock(mutex_);
    clients_.push_back(client);
    threads_.emplace_back([this, client] { Serve(client); });
  }
}

void FakeVmm::Serve(const std::shared_ptr<Client>& client) {
  while (true) {
    const auto payload = ReadFrame(client->fd.get(), absl::InfiniteFuture());
    ControlRequest request;
    if (!payload.ok() || !*payload || !request.ParseFromString(**payload)) break;
    const std::lock_guard lock(mutex_);
    Answer(*client, request);
  }
  ::shutdown(client->fd.get(), SHUT_RDWR);
}

void FakeVmm::SendEventLocked(Client& client, const VmEvent& event) {
  ControlResponse response;
  response.set_id(client.watch_id);
  *response.mutable_event() = event;
  (void)WriteFrame(client.fd.get(), response.SerializeAsString(), absl::InfiniteFuture());
}

void FakeVmm::Answer(Client& client, const ControlRequest& request) {
  ControlResponse response;
  response.set_id(request.id());
  switch (request.request_case()) {
    case ControlRequest::kWatch:
      client.watching = true;
      client.watch_id = request.id();
      for (const VmEvent& event : events_) SendEventLocked(client, event);
      changed_.notify_all();
      return;
    case ControlRequest::kPause:
      paused_ = true;
      response.mutable_ok();
      break;
    case ControlRequest::kResume:
      paused_ = false;
      response.mutable_ok();
      break;
    case ControlRequest::kStatus:
      response.mutable_status()->set_state(paused_ ? msb::vmm::v1::VM_STATE_PAUSED
                                                   : msb::vmm::v1::VM_STATE_RUNNING);
      break;
    case ControlRequest::kStats: {
      auto& disk = *response.mutable_stats()->add_disks();
      disk.set_read_bytes(11);
      disk.set_written_bytes(22);
      break;
    }
    default:
      response.mutable_ok();
  }
  (void)WriteFrame(client.fd.get(), response.SerializeAsString(), absl::InfiniteFuture());
}

}  // namespace msb
