// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/guest_operations.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "supervisor/sandbox/loss.h"
#include "supervisor/sandbox/validate.h"
#include "supervisor/store/ids.h"

namespace msb {
namespace {

// Words of a command line in an event are for people.
constexpr int kMaxEventArguments = 16;
constexpr size_t kMaxEventArgumentBytes = 256;

// What every operation in a guest holds while it lasts.
struct GuestUse {
  const SandboxContext& context;
  std::weak_ptr<Sandbox> sandbox;
  std::shared_ptr<void> activity;

  void Explain(absl::Status status, std::function<void(absl::Status)> done) const {
    if (!MayBeALoss(status)) return done(std::move(status));
    ExplainLoss(context, sandbox, std::move(status), std::move(done));
  }
};

// Between a command's session and its client: tells events, counts, explains a loss.
class TrackedExecSink final : public ExecSink {
 public:
  TrackedExecSink(GuestUse use, const Sandbox& sandbox, msb::v1::ExecEvent started,
                  std::shared_ptr<ExecSink> next)
      : use_(std::move(use)),
        owner_uid_(sandbox.record().owner_uid),
        sandbox_id_(sandbox.record().id),
        sandbox_name_(sandbox.record().spec.name()),
        started_(std::move(started)),
        next_(std::move(next)) {}

  void OnStarted(const ExecStartedInfo& info) override {
    TellKnown();
    if (started_.argv_size() > 0) use_.context.events.Publish(EventOf(started_), owner_uid_);
    ExecStartedInfo named = info;
    named.exec_id = started_.exec_id();
    next_->OnStarted(named);
  }

  void OnOutput(ExecOutput stream, uint64_t offset, std::string data) override {
    next_->OnOutput(stream, offset, std::move(data));
  }

  void OnExited(const ExecExitedInfo& info) override {
    msb::v1::ExecEvent exec = started_;
    exec.set_kind(msb::v1::ExecEvent::KIND_EXITED);
    exec.set_exit_code(info.exit_code);
    if (info.timed_out) exec.set_reason(msb::v1::REASON_EXEC_TIMEOUT);
    DurationToProto(info.duration, *exec.mutable_duration());
    Forget(EventOf(std::move(exec)));
    next_->OnExited(info);
  }

  void OnFailed(absl::Status status) override {
    // What could not be started does not run; what was lost may, and the guest knows.
    if (!MayBeALoss(status)) {
      Forget(std::nullopt);
    } else {
      TellKnown();
    }
    use_.Explain(std::move(status),
                 [next = next_](absl::Status why) { next->OnFailed(std::move(why)); });
  }

 private:
  msb::v1::Event EventOf(msb::v1::ExecEvent exec) const {
    msb::v1::Event event;
    event.set_sandbox_id(sandbox_id_);
    event.set_sandbox_name(sandbox_name_);
    *event.mutable_exec() = std::move(exec);
    return event;
  }

  void TellKnown() const {
    use_.context.loop.Post([sandbox = use_.sandbox, id = started_.exec_id()] {
      if (const auto held = sandbox.lock()) held->ExecKnown(id);
    });
  }

  // An end is told once: a command that has ended can be joined again and again.
  void Forget(std::optional<msb::v1::Event> event) const {
    use_.context.loop.Post([&events = use_.context.events, sandbox = use_.sandbox,
                            owner = owner_uid_, id = started_.exec_id(), event = std::move(event)] {
      const auto held = sandbox.lock();
      if (!held || !held->ExecEnded(id) || !event) return;
      events.Publish(*event, owner);
    });
  }

  const GuestUse use_;
  const uint32_t owner_uid_;
  const std::string sandbox_id_;
  const std::string sandbox_name_;
  const msb::v1::ExecEvent started_;  // without argv for one that was only joined
  const std::shared_ptr<ExecSink> next_;
};

class TrackedFrameSink final : public AgentFrameSink {
 public:
  TrackedFrameSink(GuestUse use, std::shared_ptr<AgentFrameSink> next)
      : use_(std::move(use)), next_(std::move(next)) {}

  absl::StatusOr<StreamStep> OnFrame(msb::agent::v1::AgentFrame frame, size_t cost) override {
    return next_->OnFrame(std::move(frame), cost);
  }
  void OnEnd(absl::Status status) override {
    use_.Explain(std::move(status),
                 [next = next_](absl::Status why) { next->OnEnd(std::move(why)); });
  }

 private:
  const GuestUse use_;
  const std::shared_ptr<AgentFrameSink> next_;
};

GuestUse Use(const std::shared_ptr<Sandbox>& sandbox) {
  return {.context = sandbox->context(), .sandbox = sandbox, .activity = sandbox->BeginActivity()};
}

msb::v1::ExecEvent StartedEvent(const std::string& exec_id, const ExecSpec& spec) {
  msb::v1::ExecEvent event;
  event.set_kind(msb::v1::ExecEvent::KIND_STARTED);
  event.set_exec_id(exec_id);
  for (const std::string& argument : spec.argv) {
    if (event.argv_size() == kMaxEventArguments) break;
    // A cut in the middle of a character would make the event no valid message.
    event.add_argv(argument.size() <= kMaxEventArgumentBytes ? argument : "(long)");
  }
  return event;
}

absl::StatusOr<OpenedExec> OpenExecNow(const std::shared_ptr<Sandbox>& sandbox,
                                       const ExecSpec& spec, std::shared_ptr<ExecSink> sink) {
  MSB_ASSIGN_OR_RETURN(const Sandbox::Guest guest, sandbox->UseGuest());
  const std::string id = NewId();
  msb::agent::v1::Open open;
  MSB_ASSIGN_OR_RETURN(
      *open.mutable_exec(),
      BuildExec(spec, id, sandbox->record().spec, *guest.image, sandbox->context().config.limits));
  sandbox->ExecBegun(id);
  auto tracked = std::make_shared<TrackedExecSink>(Use(sandbox), *sandbox, StartedEvent(id, spec),
                                                   std::move(sink));
  return OpenedExec{
      .exec_id = id,
      .session = guest.agent->OpenExec(
          std::move(open), spec.detach ? ExecAttachment::kDetached : ExecAttachment::kAttached,
          std::move(tracked))};
}

}  // namespace

void OpenExec(const std::shared_ptr<Sandbox>& sandbox, ExecSpec spec,
              std::shared_ptr<ExecSink> sink, OnExecOpened done) {
  const size_t max = sandbox->context().config.limits.max_execs_per_sandbox;
  if (sandbox->running_execs().size() < max) {
    return done(OpenExecNow(sandbox, spec, std::move(sink)));
  }
  // Those in the background end unheard: the guest knows how many there are.
  sandbox->CountExecs([sandbox, spec = std::move(spec), sink = std::move(sink),
                       done = std::move(done), max](const absl::Status& counted) {
    if (!counted.ok()) return done(counted);
    if (sandbox->running_execs().size() < max) return done(OpenExecNow(sandbox, spec, sink));
    done(MakeError(
        Reason::kTooManyExecs,
        absl::StrCat(sandbox->running_execs().size(),
                     " commands run in the sandbox; limits.max_execs_per_sandbox = ", max)));
  });
}

void OpenAttach(const std::shared_ptr<Sandbox>& sandbox, const AttachSpec& spec,
                std::shared_ptr<ExecSink> sink, const OnExecOpened& done) {
  absl::Status valid = ValidateExecId(spec.exec_id);
  if (!valid.ok()) return done(std::move(valid));
  const absl::StatusOr<Sandbox::Guest> guest = sandbox->UseGuest();
  if (!guest.ok()) return done(guest.status());
  msb::agent::v1::Open open;
  auto& attach = *open.mutable_attach();
  attach.set_exec_id(spec.exec_id);
  attach.set_stdout_offset(spec.stdout_offset);
  attach.set_stderr_offset(spec.stderr_offset);
  attach.set_take_over(spec.take_over);
  msb::v1::ExecEvent event;
  event.set_exec_id(spec.exec_id);
  auto tracked =
      std::make_shared<TrackedExecSink>(Use(sandbox), *sandbox, std::move(event), std::move(sink));
  done(OpenedExec{.exec_id = spec.exec_id,
                  .session = guest->agent->OpenExec(std::move(open), ExecAttachment::kAttached,
                                                    std::move(tracked))});
}

void OpenFileStream(const std::shared_ptr<Sandbox>& sandbox, msb::agent::v1::Open open,
                    std::shared_ptr<AgentFrameSink> sink, const OnStreamOpened& done) {
  const absl::StatusOr<Sandbox::Guest> guest = sandbox->UseGuest();
  if (!guest.ok()) return done(guest.status());
  done(guest->agent->Open(std::move(open),
                          std::make_shared<TrackedFrameSink>(Use(sandbox), std::move(sink))));
}

void OpenDirectStream(const std::shared_ptr<Sandbox>& sandbox, msb::agent::v1::Open open,
                      std::shared_ptr<AgentFrameSink> sink, AgentClient::OnConnected connected,
                      const OnStreamOpened& done) {
  const absl::StatusOr<Sandbox::Guest> guest = sandbox->UseGuest();
  if (!guest.ok()) return done(guest.status());
  done(guest->agent->OpenDirect(std::move(open),
                                std::make_shared<TrackedFrameSink>(Use(sandbox), std::move(sink)),
                                std::move(connected)));
}

void AskAgent(const std::shared_ptr<Sandbox>& sandbox, msb::agent::v1::ControlRequest request,
              OnAgentResponse done) {
  const absl::StatusOr<Sandbox::Guest> guest = sandbox->UseGuest();
  if (!guest.ok()) return done(guest.status());
  guest->agent->Request(
      std::move(request), [use = Use(sandbox), done = std::move(done)](
                              absl::StatusOr<msb::agent::v1::ControlResponse> response) {
        if (response.ok()) return done(std::move(response));
        use.Explain(response.status(), [done](absl::Status why) { done(std::move(why)); });
      });
}

}  // namespace msb
