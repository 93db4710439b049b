// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr int kEventsPerWait = 64;
constexpr uint64_t kWakeupToken = 0;

int64_t MonotonicNanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// A watch is told from an older one on the same descriptor number by the generation in its token.
uint64_t Token(int fd, uint64_t generation) {
  return generation << 32 | static_cast<uint32_t>(fd);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  MSB_ASSIGN_OR_RETURN(const int epoll,
                       Syscall("epoll_create1", [] { return ::epoll_create1(EPOLL_CLOEXEC); }));
  UniqueFd epoll_fd(epoll);
  MSB_ASSIGN_OR_RETURN(const int wakeup,
                       Syscall("eventfd", [] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }));
  UniqueFd wakeup_fd(wakeup);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kWakeupToken}};
  MSB_RETURN_IF_ERROR(Syscall("epoll_ctl wakeup", [&] {
    return ::epoll_ctl(epoll_fd.get(), EPOLL_CTL_ADD, wakeup_fd.get(), &event);
  }));
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll_fd), std::move(wakeup_fd)));
}

EventLoop::~EventLoop() {
  while (true) {
    std::vector<Task> posted;
    {
      absl::MutexLock lock(&mutex_);
      posted.swap(posted_);
    }
    const auto timers = std::exchange(timers_, {});
    const auto watched = std::exchange(watched_, {});
    timer_deadlines_.clear();
    if (posted.empty() && timers.empty() && watched.empty()) return;
  }
}

absl::Status EventLoop::Watch(int fd, uint32_t events, FdHandler handler) {
  const uint64_t generation = next_generation_++ & 0xffffffff;
  epoll_event event{.events = events, .data = {.u64 = Token(fd, generation)}};
  MSB_RETURN_IF_ERROR(Syscall(
      "epoll_ctl add", [&] { return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event); }));
  watched_[fd] = Watched{generation, std::make_shared<FdHandler>(std::move(handler))};
  return absl::OkStatus();
}

absl::Status EventLoop::Modify(int fd, uint32_t events) {
  const auto it = watched_.find(fd);
  MSB_CHECK(it != watched_.end());
  epoll_event event{.events = events, .data = {.u64 = Token(fd, it->second.generation)}};
  return status_internal::ToStatus(Syscall(
      "epoll_ctl mod", [&] { return ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event); }));
}

void EventLoop::Unwatch(int fd) {
  if (watched_.erase(fd) == 0) return;
  epoll_event ignored{};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, &ignored);
}

EventLoop::TimerId EventLoop::After(absl::Duration delay, Task task) {
  const uint64_t id = next_timer_++;
  const int64_t wait = std::max<int64_t>(0, absl::ToInt64Nanoseconds(delay));
  const int64_t now = MonotonicNanoseconds();
  const int64_t deadline = wait > INT64_MAX - now ? INT64_MAX : now + wait;
  timers_.emplace(Deadline{deadline, id}, std::move(task));
  timer_deadlines_[id] = deadline;
  return TimerId{id};
}

void EventLoop::Cancel(TimerId id) {
  const auto it = timer_deadlines_.find(static_cast<uint64_t>(id));
  if (it == timer_deadlines_.end()) return;
  timers_.erase(Deadline{it->second, it->first});
  timer_deadlines_.erase(it);
}

void EventLoop::Post(Task task) {
  {
    absl::MutexLock lock(&mutex_);
    posted_.push_back(std::move(task));
  }
  Wake();
}

void EventLoop::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  Wake();
}

void EventLoop::Wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake already.
  [[maybe_unused]] const ssize_t written = ::write(wakeup_.get(), &one, sizeof(one));
}

absl::Status EventLoop::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) {
        stopping_ = false;
        return absl::OkStatus();
      }
    }
    std::array<epoll_event, kEventsPerWait> events;
    const int ready =
        ::epoll_wait(epoll_.get(), events.data(), kEventsPerWait, WaitMilliseconds());
    if (ready < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "epoll_wait");
    for (int i = 0; i < ready; ++i) Dispatch(events[i].data.u64, events[i].events);
    RunTimers();
  }
}

void EventLoop::Dispatch(uint64_t token, uint32_t events) {
  if (token == kWakeupToken) return RunPosted();
  const auto it = watched_.find(static_cast<int>(token & 0xffffffff));
  if (it == watched_.end() || it->second.generation != token >> 32) return;
  const std::shared_ptr<FdHandler> handler = it->second.handler;  // it may unwatch itself
  (*handler)(events);
}

void EventLoop::RunPosted() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(wakeup_.get(), &count, sizeof(count));
  std::vector<Task> tasks;
  {
    absl::MutexLock lock(&mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void EventLoop::RunTimers() {
  const int64_t now = MonotonicNanoseconds();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    timer_deadlines_.erase(node.key().second);
    node.mapped()();
  }
}

int EventLoop::WaitMilliseconds() const {
  if (timers_.empty()) return -1;
  const int64_t left = timers_.begin()->first.first - MonotonicNanoseconds();
  if (left <= 0) return 0;
  return static_cast<int>(std::min<int64_t>(left / 1'000'000 + 1, INT32_MAX));
}

}  // namespace msb
