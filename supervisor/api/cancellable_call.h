// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A call of one answer that ends when its client leaves, answer or not. Behind its outcome gRPC may
// free the request, the response and the context at any moment, and takes no second one: whoever
// comes too late must touch nothing.

#ifndef MSB_SUPERVISOR_API_CANCELLABLE_CALL_H_
#define MSB_SUPERVISOR_API_CANCELLABLE_CALL_H_

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "supervisor/api/outcome.h"

namespace msb {

class CancellableCall : public grpc::ServerUnaryReactor {
 public:
  explicit CancellableCall(grpc::CallbackServerContext& context) : context_(context) {}

 protected:
  // The first answer counts; `fill`, which writes the response, runs for that one alone. From any
  // thread; `fill` may not answer.
  void Answer(const absl::Status& status, absl::FunctionRef<void()> fill) {
    absl::MutexLock lock(&answer_mutex_);
    if (std::exchange(answered_, true)) return;
    fill();
    Finish(Outcome(context_, status));
  }
  void Answer(const absl::Status& status) {
    Answer(status, [] {});
  }
  grpc::CallbackServerContext& context() { return context_; }

 private:
  grpc::CallbackServerContext& context_;
  absl::Mutex answer_mutex_;
  bool answered_ ABSL_GUARDED_BY(answer_mutex_) = false;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_CANCELLABLE_CALL_H_
