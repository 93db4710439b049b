// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The three forms of a file operation: one answer, a stream out of the guest, a stream into it.

#ifndef MSB_SUPERVISOR_API_FILE_CALLS_H_
#define MSB_SUPERVISOR_API_FILE_CALLS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "base/error.h"
#include "msb/agent/v1/agent.pb.h"
#include "supervisor/api/response_queue.h"
#include "supervisor/api/service_base.h"
#include "supervisor/sandbox/guest_operations.h"

namespace msb {

// Takes the frames of an operation whose answer is in one of them, and answers when it is done.
class OneAnswer final : public AgentFrameSink {
 public:
  using OnFrameFn = std::function<void(const msb::agent::v1::AgentFrame&)>;

  OneAnswer(OnFrameFn on_frame, UnaryDone done)
      : on_frame_(std::move(on_frame)), done_(std::move(done)) {}

  static void Ask(const SandboxPtr& sandbox, msb::agent::v1::Open open, OnFrameFn on_frame,
                  const UnaryDone& done) {
    OpenFileStream(sandbox, std::move(open), std::make_shared<OneAnswer>(std::move(on_frame), done),
                   [done](const absl::StatusOr<std::shared_ptr<AgentStream>>& stream) {
                     if (!stream.ok()) done(stream.status());
                   });
  }

 private:
  absl::StatusOr<StreamStep> OnFrame(msb::agent::v1::AgentFrame frame, size_t) override {
    if (on_frame_ != nullptr) on_frame_(frame);
    if (!frame.has_done()) return StreamStep::kMore;
    done_(absl::OkStatus());
    return StreamStep::kDone;
  }
  void OnEnd(absl::Status status) override {
    if (status.ok())
      status = MakeError(Reason::kAgentProtocol, "the agent closed without an answer");
    done_(std::move(status));
  }

  const OnFrameFn on_frame_;
  const UnaryDone done_;
};

// A stream out of the guest. `Convert` makes the response of a frame, or nothing of one that the
// client need not see. A frame is acknowledged when gRPC has written what it became.
template <typename Response>
class GuestReadCall final : public QueuedCall<grpc::ServerWriteReactor<Response>, Response>,
                            public AgentFrameSink {
 public:
  using Convert = std::function<std::optional<Response>(const msb::agent::v1::AgentFrame&)>;

  GuestReadCall(grpc::CallbackServerContext& context, Convert convert)
      : QueuedCall<grpc::ServerWriteReactor<Response>, Response>(context),
        convert_(std::move(convert)) {}

  static grpc::ServerWriteReactor<Response>* Begin(const ApiContext& api,
                                                   grpc::CallbackServerContext& context,
                                                   const std::string& sandbox,
                                                   msb::agent::v1::Open open, Convert convert) {
    const auto call = std::make_shared<GuestReadCall>(context, std::move(convert));
    call->Hold(call);
    const absl::StatusOr<Caller> caller = api.authenticator.CallerOf(context);
    if (!caller.ok()) {
      call->End(caller.status());
      return call.get();
    }
    api.registry.With(*caller, sandbox, [call, open = std::move(open)](Registry::Found found) {
      if (!found.ok()) return call->End(found.status());
      OpenFileStream(*found, open, call,
                     [call](absl::StatusOr<std::shared_ptr<AgentStream>> stream) {
                       call->Opened(std::move(stream));
                     });
    });
    return call.get();
  }

 private:
  void Opened(absl::StatusOr<std::shared_ptr<AgentStream>> stream) {
    if (!stream.ok()) return this->End(stream.status());
    absl::MutexLock lock(&mutex_);
    stream_ = *std::move(stream);
    stream_->Acknowledge(std::exchange(owed_, 0));
    if (gone_) stream_->Close();
  }
  absl::StatusOr<StreamStep> OnFrame(msb::agent::v1::AgentFrame frame, size_t cost) override {
    if (frame.has_done()) {
      this->End(absl::OkStatus());
      return StreamStep::kDone;
    }
    std::optional<Response> response = convert_(frame);
    if (response) {
      this->Push(*std::move(response), cost);
    } else {
      OnWritten(cost);
    }
    return StreamStep::kMore;
  }
  void OnEnd(absl::Status status) override {
    if (status.ok()) status = MakeError(Reason::kAgentProtocol, "the agent closed in the middle");
    this->End(status);
  }
  void OnWritten(size_t cost) override {
    absl::MutexLock lock(&mutex_);
    if (stream_ != nullptr) {
      stream_->Acknowledge(cost);
    } else {
      owed_ += cost;
    }
  }
  void OnCancel() override {
    {
      absl::MutexLock lock(&mutex_);
      gone_ = true;
      if (stream_ != nullptr) stream_->Close();
    }
    this->End(absl::CancelledError("the client went away"));
  }

  const Convert convert_;
  absl::Mutex mutex_;
  std::shared_ptr<AgentStream> stream_ ABSL_GUARDED_BY(mutex_);
  size_t owed_ ABSL_GUARDED_BY(mutex_) = 0;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
};

// A stream into the guest. `open_of` makes the operation of the first message, `frame_of` a frame
// of each later one; both nullopt for a message that does not belong there. The next message is
// read when the guest has taken the one before.
template <typename Request>
class GuestWriteCall final : public grpc::ServerReadReactor<Request>, public AgentFrameSink {
 public:
  struct Format {
    std::function<std::optional<msb::agent::v1::Open>(const Request&)> open_of;
    std::function<std::optional<msb::agent::v1::HostFrame>(Request&)> frame_of;
    std::function<void(const msb::agent::v1::Done&)> on_done;
  };

  GuestWriteCall(const ApiContext& api, grpc::CallbackServerContext& context, Format format)
      : api_(api), context_(context), format_(std::move(format)) {}

  static grpc::ServerReadReactor<Request>* Begin(const ApiContext& api,
                                                 grpc::CallbackServerContext& context,
                                                 Format format) {
    const auto call = std::make_shared<GuestWriteCall>(api, context, std::move(format));
    {
      absl::MutexLock lock(&call->mutex_);
      call->self_ = call;
    }
    call->StartRead(&call->request_);
    return call.get();
  }

 private:
  std::shared_ptr<GuestWriteCall> self() {
    absl::MutexLock lock(&mutex_);
    return self_;
  }

  void OnReadDone(bool ok) override {
    const std::shared_ptr<AgentStream> stream = this->stream();
    if (first_) {
      first_ = false;
      return ok ? OpenStream() : Answer(WrongMessage());
    }
    if (stream == nullptr) return;  // ended meanwhile
    if (!ok) {
      if (context_.IsCancelled()) return;
      msb::agent::v1::HostFrame end;
      end.mutable_end();
      return stream->Send(std::move(end));
    }
    std::optional<msb::agent::v1::HostFrame> frame = format_.frame_of(request_);
    if (!frame) {
      stream->Close();
      return Answer(WrongMessage());
    }
    stream->Send(*std::move(frame), [call = self()] {
      if (call != nullptr) call->ReadNext();
    });
  }

  void OpenStream() {
    const std::optional<msb::agent::v1::Open> open = format_.open_of(request_);
    if (!open) return Answer(WrongMessage());
    const absl::StatusOr<Caller> caller = api_.authenticator.CallerOf(context_);
    if (!caller.ok()) return Answer(caller.status());
    api_.registry.With(*caller, request_.open().sandbox(),
                       [call = self(), open = *open](Registry::Found found) {
                         if (call == nullptr) return;
                         if (!found.ok()) return call->Answer(found.status());
                         OpenFileStream(*found, open, call,
                                        [call](absl::StatusOr<std::shared_ptr<AgentStream>> made) {
                                          call->Opened(std::move(made));
                                        });
                       });
  }

  void Opened(absl::StatusOr<std::shared_ptr<AgentStream>> made) {
    if (!made.ok()) return Answer(made.status());
    {
      absl::MutexLock lock(&mutex_);
      if (answered_) return (*made)->Close();
      stream_ = *std::move(made);
    }
    ReadNext();
  }

  // Never behind the answer: gRPC may then be done with the call at any moment.
  void ReadNext() {
    absl::MutexLock lock(&mutex_);
    if (!answered_) this->StartRead(&request_);
  }

  absl::StatusOr<StreamStep> OnFrame(msb::agent::v1::AgentFrame frame, size_t) override {
    if (!frame.has_done()) return StreamStep::kMore;
    {
      absl::MutexLock lock(&mutex_);
      if (!answered_) format_.on_done(frame.done());
    }
    Answer(absl::OkStatus());
    return StreamStep::kDone;
  }
  void OnEnd(absl::Status status) override {
    if (status.ok()) status = MakeError(Reason::kAgentProtocol, "the agent closed in the middle");
    Answer(status);
  }
  void OnCancel() override {
    if (const auto stream = this->stream(); stream != nullptr) stream->Close();
    Answer(absl::CancelledError("the client went away"));
  }
  void OnDone() override {
    std::shared_ptr<GuestWriteCall> last;
    absl::MutexLock lock(&mutex_);
    last = std::move(self_);
  }

  std::shared_ptr<AgentStream> stream() {
    absl::MutexLock lock(&mutex_);
    return stream_;
  }
  void Answer(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    if (std::exchange(answered_, true)) return;
    stream_.reset();
    this->Finish(Outcome(context_, status));
  }
  static absl::Status WrongMessage() {
    return MakeError(Reason::kInvalidArgument,
                     "the first message must be `open`, and no other may be");
  }

  const ApiContext api_;
  grpc::CallbackServerContext& context_;
  const Format format_;
  Request request_;
  bool first_ = true;
  absl::Mutex mutex_;
  std::shared_ptr<GuestWriteCall> self_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<AgentStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_FILE_CALLS_H_
