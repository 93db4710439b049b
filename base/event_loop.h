// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// An epoll loop: descriptors, timers and calls from other threads, all served by the one thread that
// runs it.
//
// Threading: everything but Post and Stop belongs to the loop's thread (or to the time before Run).

#ifndef MSB_BASE_EVENT_LOOP_H_
#define MSB_BASE_EVENT_LOOP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace msb {

class EventLoop {
 public:
  // `events` are EPOLL* bits that are ready.
  using FdHandler = std::function<void(uint32_t events)>;
  using Task = std::function<void()>;
  enum class TimerId : uint64_t {};

  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();
  // Not while it runs. Tasks and handlers are let go of; their destructors may still call the loop.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls `handler` while any of `events` (EPOLLIN, EPOLLOUT, ...) is ready on `fd`, level-triggered
  // unless EPOLLET is among them. The caller keeps `fd` open until Unwatch. A handler may unwatch any
  // descriptor, its own included, and may then close it: an event that was already fetched for a
  // removed watch is dropped.
  absl::Status Watch(int fd, uint32_t events, FdHandler handler);
  absl::Status Modify(int fd, uint32_t events);
  void Unwatch(int fd);

  // Runs `task` once, not before `delay` has passed (CLOCK_MONOTONIC).
  TimerId After(absl::Duration delay, Task task);
  // Does nothing for a timer that has run.
  void Cancel(TimerId id);

  // From any thread: runs `task` on the loop's thread, in the order of the calls.
  void Post(Task task);

  // Serves until Stop.
  absl::Status Run();
  // From any thread; Run returns after the events at hand.
  void Stop();

 private:
  struct Watched {
    uint64_t generation;
    std::shared_ptr<FdHandler> handler;
  };
  using Deadline = std::pair<int64_t, uint64_t>;  // ns on the monotonic clock, timer id

  EventLoop(UniqueFd epoll, UniqueFd wakeup)
      : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}
  void Wake();
  void RunPosted();
  void RunTimers();
  int WaitMilliseconds() const;
  void Dispatch(uint64_t token, uint32_t events);

  const UniqueFd epoll_;
  const UniqueFd wakeup_;
  absl::flat_hash_map<int, Watched> watched_;
  uint64_t next_generation_ = 1;
  std::map<Deadline, Task> timers_;
  absl::flat_hash_map<uint64_t, int64_t> timer_deadlines_;
  uint64_t next_timer_ = 1;
  absl::Mutex mutex_;
  std::vector<Task> posted_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace msb

#endif  // MSB_BASE_EVENT_LOOP_H_
