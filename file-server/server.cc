// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/server.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <latch>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "vmm/devices/virtio/kick.h"

namespace msb {
namespace {

// A guest that asks without end does not keep us from hearing the VMM.
constexpr int kMostServedInARow = 64;

absl::Status GuestError(absl::string_view what) {
  return MakeError(Reason::kGuestViolation, absl::StrCat("fs: ", what));
}

// Of a WRITE, what is copied out of the guest's memory; its data is not.
constexpr size_t kWriteArgumentsBytes = sizeof(fuse_in_header) + sizeof(fuse_write_in);

// Copies it once; what is checked here is what is gone by.
absl::Status ReadHeader(const DescriptorChain& chain, fuse_in_header& header) {
  const absl::Span<uint8_t> bytes(reinterpret_cast<uint8_t*>(&header), sizeof(header));
  if (chain.CopyOut(0, bytes) != bytes.size()) return GuestError("request without a header");
  if (header.len != chain.readable_bytes()) {
    return GuestError("request of another length than it says");
  }
  if (header.len > kMaxMessageBytes) return GuestError("request longer than any");
  if (!chain.writable().empty() && chain.writable_bytes() < sizeof(fuse_out_header)) {
    return GuestError("no room for a reply's header");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Server::Run(int threads, const std::function<void()>& on_thread_start) {
  // None serves while another could still be made to do what it may not.
  std::latch started(threads);
  const auto start = [&] {
    on_thread_start();
    started.arrive_and_wait();
    Work();
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(start);
  start();
  for (std::thread& other : others) other.join();
  absl::MutexLock lock(&turn_mutex_);
  return end_;
}

void Server::Work() {
  Worker worker;
  while (true) {
    if (!worker.has_turn) {
      absl::MutexLock lock(&turn_mutex_);
      const auto may_go = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_mutex_) {
        return !turn_taken_ || ended_;
      };
      turn_mutex_.Await(absl::Condition(&may_go));
      if (ended_) return;
      turn_taken_ = true;
      worker.has_turn = true;
      // An order may have come meanwhile; it is not to wait behind one slow request after another.
      served_in_a_row_ = kMostServedInARow;
    }
    const absl::StatusOr<Progress> progress = Turn(worker);
    if (!progress.ok() || *progress == Progress::kEnded) return End(progress.status());
  }
}

// One request, or one wait for it.
absl::StatusOr<Server::Progress> Server::Turn(Worker& worker) {
  if (queues_ == nullptr || broken_) return Wait(-1);
  if (++served_in_a_row_ > kMostServedInARow) return Wait(0);
  absl::StatusOr<std::optional<GuestQueues::Taken>> taken = queues_->Next();
  if (!taken.ok()) {
    MSB_RETURN_IF_ERROR(Break(taken.status()));
    return Progress::kServed;
  }
  if (!taken->has_value()) return Wait(-1);
  MSB_RETURN_IF_ERROR(Serve(worker, *std::move(*taken)));
  return Progress::kServed;
}

// For a kick, or a word of the VMM's, which it follows.
absl::StatusOr<Server::Progress> Server::Wait(int milliseconds) {
  served_in_a_row_ = 0;
  std::array<pollfd, 1 + fs_handover::kQueues> ready = {};
  ready[0] = {.fd = vmm_.get(), .events = POLLIN, .revents = 0};
  for (size_t i = 0; i < fs_handover::kQueues; ++i) {
    const bool served = queues_ != nullptr && !broken_;
    ready[1 + i] = {.fd = served ? queues_->kicks()[i] : -1, .events = POLLIN, .revents = 0};
  }
  MSB_RETURN_IF_ERROR(
      Syscall("wait", [&] { return ::poll(ready.data(), ready.size(), milliseconds); }));
  // First, for a VMM that has given us up waits for the same kicks.
  if (ready[0].revents != 0) return FollowOrder();
  for (size_t i = 1; i < ready.size(); ++i) {
    if (ready[i].revents == 0 || TakeKick(ready[i].fd)) continue;
    MSB_RETURN_IF_ERROR(Break(GuestError("a kick that is no event")));
    break;  // told once
  }
  return Progress::kServed;
}

absl::StatusOr<Server::Progress> Server::FollowOrder() {
  MSB_ASSIGN_OR_RETURN(std::optional<fs_handover::ReceivedOrder> received,
                       fs_handover::ReceiveOrder(vmm_.get()));
  if (!received.has_value()) return Progress::kEnded;
  switch (received->order.kind) {
    case fs_handover::OrderKind::kServe: {
      if (queues_ != nullptr) break;
      MSB_ASSIGN_OR_RETURN(queues_, GuestQueues::Create(*std::move(received)));
      return Progress::kServed;
    }
    case fs_handover::OrderKind::kStop: {
      if (queues_ == nullptr) break;
      MSB_RETURN_IF_ERROR(Stop());
      return Progress::kServed;
    }
  }
  return MakeError(Reason::kFrameMalformed, "an order of the VMM's that cannot be followed");
}

// Who completes the last request that is under way tells the VMM.
absl::Status Server::Stop() {
  const std::shared_ptr<GuestQueues> queues = std::exchange(queues_, nullptr);
  broken_ = false;
  if (queues->Stop() == GuestQueues::Rest::kNotYet) return absl::OkStatus();
  return AnswerStopped(*queues);
}

absl::Status Server::AnswerStopped(const GuestQueues& queues) {
  fs_handover::Answer answer = {};
  answer.kind = fs_handover::AnswerKind::kStopped;
  std::copy_n(queues.positions().begin(), fs_handover::kQueues, answer.positions);
  return Answer(answer);
}

absl::Status Server::Serve(Worker& worker, GuestQueues::Taken taken) {
  const std::shared_ptr<GuestQueues> queues = queues_;
  fuse_in_header header;
  if (const absl::Status known = ReadHeader(taken.chain, header); !known.ok()) {
    queues->Drop(std::move(taken));
    return Break(known);
  }
  const GuestQueues::Reply reply = Ask(worker, header, taken.chain);
  // It may have taken long, and nobody have heard meanwhile that the VMM has given us up.
  const auto is_given_up = [this] { return VmmIsGone(); };
  if (queues->Complete(std::move(taken), reply, is_given_up) == GuestQueues::Rest::kNotYet) {
    return absl::OkStatus();
  }
  return AnswerStopped(*queues);
}

// The session's answer. Whether one is expected, the room for it says.
GuestQueues::Reply Server::Ask(Worker& worker, const fuse_in_header& header,
                               const DescriptorChain& chain) {
  const bool has_data = header.opcode == FUSE_WRITE;
  const size_t copied = has_data ? std::min<size_t>(header.len, kWriteArgumentsBytes) : header.len;
  const absl::Span<uint8_t> arguments(worker.request.get(), copied - sizeof(header));
  chain.CopyOut(sizeof(header), arguments);
  worker.reply.Clear();
  const std::function<void()> before_slow = [&] { PassTurn(worker); };
  Session::Call call{.header = header,
                     .in = RequestReader(arguments),
                     .out = worker.reply,
                     .before_slow = before_slow,
                     .is_given_up = [this] { return VmmIsGone(); }};
  if (has_data) call.data.Append(chain.readable(), copied, kMaxDataBytes);
  if (header.opcode == FUSE_READ) {
    call.room.Append(chain.writable(), sizeof(fuse_out_header), kMaxDataBytes);
  }
  const std::optional<Errno> result = session_.Serve(call);
  if (!result.has_value() || chain.writable().empty()) return {};
  const uint64_t room = chain.writable_bytes() - sizeof(fuse_out_header);
  const bool fits = worker.reply.in_place() + worker.reply.size() <= room;
  const absl::Span<const uint8_t> message =
      worker.reply.Finish(header.unique, fits ? *result : ErrnoValue(EIO));
  return {.header = message.first(sizeof(fuse_out_header)),
          .in_place = worker.reply.in_place(),
          .rest = message.subspan(sizeof(fuse_out_header))};
}

absl::Status Server::Break(const absl::Status& why) {
  // Once: a guest that breaks its device and resets it in turn must not fill the log.
  if (!std::exchange(violation_logged_, true)) {
    MSB_LOG(kWarning) << "nothing is served until the guest resets its device: " << why.message();
  }
  broken_ = true;
  fs_handover::Answer answer = {};
  answer.kind = fs_handover::AnswerKind::kBroken;
  return Answer(answer);
}

absl::Status Server::Answer(const fs_handover::Answer& answer) {
  return Syscall("answer the VMM",
                 [&] { return ::send(vmm_.get(), &answer, sizeof(answer), MSG_NOSIGNAL); })
      .status();
}

bool Server::VmmIsGone() const {
  pollfd state{.fd = vmm_.get(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&state, 1, 0) != 0;
}

void Server::PassTurn(Worker& worker) {
  if (!worker.has_turn) return;
  worker.has_turn = false;
  absl::MutexLock lock(&turn_mutex_);
  turn_taken_ = false;
}

// Others may be in a slow request.
void Server::End(absl::Status why) {
  ::shutdown(vmm_.get(), SHUT_RDWR);
  absl::MutexLock lock(&turn_mutex_);
  if (!ended_) end_ = std::move(why);
  ended_ = true;
}

}  // namespace msb
