// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Responses of a streaming call that come faster than gRPC writes them: one write at a time, the
// rest in line. The line is bounded by whoever pushes: each response has a cost that is given back
// when it has been written.
//
// gRPC may be done with a call, and free its part of it, at any moment behind Finish, unless an
// operation of the call is under way. So whatever a call begins (a write, a read, its headers) it
// begins here: under one lock, and never behind its outcome.

#ifndef MSB_SUPERVISOR_API_RESPONSE_QUEUE_H_
#define MSB_SUPERVISOR_API_RESPONSE_QUEUE_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "supervisor/api/outcome.h"

namespace msb {

// `Base` is grpc::ServerWriteReactor<Response> or grpc::ServerBidiReactor<Request, Response>. The
// object is held by a shared_ptr, and by itself until gRPC is done with it. Push and End: from any
// thread.
template <typename Base, typename Response>
class QueuedCall : public Base {
 public:
  explicit QueuedCall(grpc::CallbackServerContext& context) : context_(context) {}

  void Push(Response response, size_t cost = 0) {
    absl::MutexLock lock(&mutex_);
    if (outcome_ || broken_) return;
    queue_.emplace_back(std::move(response), cost);
    if (queue_.size() == 1) this->StartWrite(&queue_.front().first);
  }

  // Behind what was pushed. The first call counts.
  void End(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    if (outcome_) return;
    outcome_ = Outcome(context_, status);
    if (queue_.empty()) this->Finish(*outcome_);
  }

 protected:
  // The next message of the client, of a Base that reads: OnReadDone follows, unless the call has
  // its outcome. From any thread.
  template <typename Request>
  void Read(Request* into) {
    absl::MutexLock lock(&mutex_);
    if (!outcome_) this->StartRead(into);
  }
  // Lets the client know that its call stands, before there is a response. From any thread.
  void SendHeaders() {
    absl::MutexLock lock(&mutex_);
    if (!outcome_) this->StartSendInitialMetadata();
  }
  // gRPC holds the call from now on. Once, by the maker.
  void Hold(std::shared_ptr<QueuedCall> self) {
    absl::MutexLock lock(&mutex_);
    self_ = std::move(self);
  }
  // For callbacks that outlive a method; nullptr once gRPC is done.
  std::shared_ptr<QueuedCall> held() {
    absl::MutexLock lock(&mutex_);
    return self_;
  }
  grpc::CallbackServerContext& context() { return context_; }
  // A response of this cost has gone out (or never will). On a thread of gRPC.
  virtual void OnWritten(size_t cost) = 0;

  void OnWriteDone(bool ok) final {
    size_t cost = 0;
    {
      absl::MutexLock lock(&mutex_);
      cost = queue_.front().second;
      queue_.pop_front();
      if (!ok) {
        broken_ = true;
        queue_.clear();
      }
      if (!queue_.empty()) {
        this->StartWrite(&queue_.front().first);
      } else if (outcome_) {
        this->Finish(*outcome_);
      }
    }
    OnWritten(cost);
  }

  void OnDone() override {
    std::shared_ptr<QueuedCall> last;  // let go of outside the lock that is part of it
    absl::MutexLock lock(&mutex_);
    last = std::move(self_);
  }

 private:
  grpc::CallbackServerContext& context_;
  absl::Mutex mutex_;
  std::shared_ptr<QueuedCall> self_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::pair<Response, size_t>> queue_ ABSL_GUARDED_BY(mutex_);
  std::optional<grpc::Status> outcome_ ABSL_GUARDED_BY(mutex_);
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // the client is gone
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_RESPONSE_QUEUE_H_
