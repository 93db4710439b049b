// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <latch>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

// Read ahead: many small requests, or the beginning of a large one.
constexpr size_t kReadAheadBytes = 64 * 1024;

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
    }
    const absl::StatusOr<bool> goes_on = ServeOne(worker);
    if (!goes_on.ok() || !*goes_on) return End(goes_on.status());
  }
}

absl::StatusOr<bool> Server::ServeOne(Worker& worker) {
  MSB_ASSIGN_OR_RETURN(const bool has_message, ReadMessage());
  if (!has_message) return false;
  // Valid until the turn is passed on, and then the buffer is ours.
  const uint8_t* const bytes = input_->bytes.get() + input_->begin;
  fuse_in_header header;
  std::memcpy(&header, bytes, sizeof(header));
  input_->begin += header.len;
  worker.reply.Clear();
  const std::function<void()> before_slow = [&] { PassTurn(worker); };
  Session::Call call{
      .header = header,
      .in = RequestReader(absl::MakeConstSpan(bytes, header.len).subspan(sizeof(header))),
      .out = worker.reply,
      .before_slow = before_slow};
  const std::optional<Errno> result = session_.Serve(call);
  if (worker.spare == nullptr) worker.spare = std::move(worker.taken);
  // Whoever expects no answer says so by the number 0.
  if (!result.has_value() || header.unique == 0) return true;
  MSB_RETURN_IF_ERROR(Send(worker.reply.Finish(header.unique, *result)));
  return true;
}

// A whole message at input_->begin.
absl::StatusOr<bool> Server::ReadMessage() {
  Input& input = *input_;
  if (input.begin == input.end) input.begin = input.end = 0;
  MSB_ASSIGN_OR_RETURN(const bool has_header, Fill(sizeof(fuse_in_header), kReadAheadBytes));
  if (!has_header) return false;
  uint32_t length = 0;
  std::memcpy(&length, input.bytes.get() + input.begin, sizeof(length));
  if (length < sizeof(fuse_in_header) || length > kMaxMessageBytes) {
    return MakeError(Reason::kFrameMalformed,
                     absl::StrCat("a request of ", length, " bytes is not understood"));
  }
  MSB_ASSIGN_OR_RETURN(const bool whole, Fill(length, length));
  if (!whole) return MakeError(Reason::kFrameTruncated, "the stream ended inside a request");
  return true;
}

// Reads until there are `wanted` bytes at begin, at most `most` in all; false at the end.
absl::StatusOr<bool> Server::Fill(size_t wanted, size_t most) {
  Input& input = *input_;
  if (input.begin + std::max(wanted, most) > kMaxMessageBytes) {
    std::memmove(input.bytes.get(), input.bytes.get() + input.begin, input.end - input.begin);
    input.end -= std::exchange(input.begin, 0);
  }
  while (input.end - input.begin < wanted) {
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("receive a request", [&] {
                           return ::recv(socket_.get(), input.bytes.get() + input.end,
                                         most - (input.end - input.begin), 0);
                         }));
    if (got == 0) return false;
    input.end += static_cast<size_t>(got);
  }
  return true;
}

// The request at hand stays where it is; what was read ahead goes on with the turn.
void Server::PassTurn(Worker& worker) {
  if (!worker.has_turn) return;
  MSB_CHECK(worker.spare != nullptr);
  Input& next = *worker.spare;
  next.begin = 0;
  next.end = input_->end - input_->begin;
  std::memcpy(next.bytes.get(), input_->bytes.get() + input_->begin, next.end);
  worker.taken = std::exchange(input_, std::move(worker.spare));
  worker.has_turn = false;
  absl::MutexLock lock(&turn_mutex_);
  turn_taken_ = false;
}

absl::Status Server::Send(absl::Span<const uint8_t> message) {
  absl::MutexLock lock(&send_mutex_);
  while (!message.empty()) {
    MSB_ASSIGN_OR_RETURN(const ssize_t sent, Syscall("send a reply", [&] {
                           return ::send(socket_.get(), message.data(), message.size(),
                                         MSG_NOSIGNAL);
                         }));
    message.remove_prefix(static_cast<size_t>(sent));
  }
  return absl::OkStatus();
}

// Others may wait in a receive of theirs, or in a slow request.
void Server::End(absl::Status why) {
  ::shutdown(socket_.get(), SHUT_RDWR);
  absl::MutexLock lock(&turn_mutex_);
  if (!ended_) end_ = std::move(why);
  ended_ = true;
}

}  // namespace msb
