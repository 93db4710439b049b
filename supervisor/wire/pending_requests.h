// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Requests that wait for an answer with their id, each with a time limit.

#ifndef MSB_SUPERVISOR_WIRE_PENDING_REQUESTS_H_
#define MSB_SUPERVISOR_WIRE_PENDING_REQUESTS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/event_loop.h"

namespace msb {

// Threading: the loop's thread only.
template <typename Response>
class PendingRequests {
 public:
  using Done = std::function<void(absl::StatusOr<Response>)>;

  explicit PendingRequests(EventLoop& loop) : loop_(loop) {}
  PendingRequests(const PendingRequests&) = delete;
  PendingRequests& operator=(const PendingRequests&) = delete;
  ~PendingRequests() {
    for (auto& [id, request] : requests_) loop_.Cancel(request.deadline);
  }

  // The id to send. `done` is called once: by Answer or FailAll, or with `late` after `timeout`.
  uint64_t Add(absl::Duration timeout, absl::Status late, Done done) {
    const uint64_t id = next_id_++;
    const auto deadline =
        loop_.After(timeout, [this, id, late = std::move(late)] { Answer(id, late); });
    requests_.emplace(id, Request{std::move(done), deadline});
    return id;
  }

  // Does nothing for an id that nobody waits for: the answer came late, or the peer made it up.
  void Answer(uint64_t id, absl::StatusOr<Response> response) {
    const auto it = requests_.find(id);
    if (it == requests_.end()) return;
    const Done done = std::move(it->second.done);
    loop_.Cancel(it->second.deadline);
    requests_.erase(it);
    done(std::move(response));
  }

  void FailAll(const absl::Status& why) {
    for (auto& [id, request] : std::exchange(requests_, {})) {
      loop_.Cancel(request.deadline);
      request.done(why);
    }
  }

 private:
  struct Request {
    Done done;
    EventLoop::TimerId deadline{};
  };

  EventLoop& loop_;
  absl::flat_hash_map<uint64_t, Request> requests_;
  uint64_t next_id_ = 1;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_WIRE_PENDING_REQUESTS_H_
