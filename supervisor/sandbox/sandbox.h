// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One sandbox: its journal row, its state, and its VMM while it has one.
//
// Threading: one thread owns all sandboxes (SandboxContext::loop), so nothing here has a lock. What
// blocks runs on a worker with copies of what it needs, and its outcome is posted back. A verb
// answers by calling its `Done` on that thread, once, perhaps before it returns.

#ifndef MSB_SUPERVISOR_SANDBOX_SANDBOX_H_
#define MSB_SUPERVISOR_SANDBOX_SANDBOX_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "msb/net/v1/net.pb.h"
#include "msb/v1/network.pb.h"
#include "supervisor/agent/agent_client.h"
#include "supervisor/sandbox/caller.h"
#include "supervisor/sandbox/context.h"
#include "supervisor/sandbox/network.h"
#include "supervisor/sandbox/secrets.h"
#include "supervisor/sandbox/turns.h"
#include "supervisor/sandbox/vmm_control.h"
#include "supervisor/sandbox/vmm_jobs.h"
#include "supervisor/store/sandbox_record.h"
#include "supervisor/threads/loop_timer.h"

namespace msb {

class Sandbox : public std::enable_shared_from_this<Sandbox> {
 public:
  using Done = std::function<void(absl::Status)>;

  // Other sandboxes in private networks of this one's.
  using Neighbours = std::function<std::vector<std::shared_ptr<Sandbox>>(const SandboxRecord&)>;

  // `on_removed` is called when the last trace is gone. `record` is journalled already.
  Sandbox(const SandboxContext& context, SandboxRecord record, std::function<void()> on_removed,
          Neighbours neighbours);
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  const SandboxContext& context() const { return context_; }
  const SandboxRecord& record() const { return record_; }
  msb::v1::SandboxState state() const { return record_.state; }
  const LaunchPlan& plan() const { return plan_; }
  msb::v1::Sandbox View() const;

  // --- verbs (their rules: proto/msb/v1/sandbox.proto) ---

  void AnnounceCreation() { Announce(msb::v1::SANDBOX_STATE_UNSPECIFIED, state()); }
  // From creating to stopped. On an error nothing is left but the row, which Remove deletes.
  void MakeFiles(Done done);
  // Of its owner, as the kernel tells them now; others change nothing. Before a start, which writes
  // them down.
  void TakeGroups(const Caller& caller);
  // With values of its secrets, instead of those that are known.
  void Start(Done done, SecretValues values = {});
  struct StopOptions {
    std::optional<absl::Duration> grace;  // unset: the configuration's
    bool force = false;
    Reason reason = Reason::kUnspecified;  // of a stop that no person asked for
    std::string detail;
  };
  void Stop(StopOptions options, Done done);
  void Pause(Done done);
  void Resume(Done done);
  // Of one that is at rest.
  void Remove(Done done);
  absl::Status Update(const msb::v1::UpdateRequest& changes);

  // --- its network (sandbox_network.cc; proto/msb/v1/network.proto) ---
  //
  // Whatever changes it or its secrets, or asks their processes, waits for what was asked before.

  // Preset (empty: as it is) and rules of `network`.
  void UpdateNetwork(msb::v1::Network network, Done done);
  void PublishPort(msb::v1::PublishedPort port,
                   std::function<void(absl::StatusOr<msb::v1::PublishedPort>)> done);
  void UnpublishPort(msb::v1::PublishedPort port, Done done);
  // A new msb-net in place of the one that serves the machine, or has died.
  void RestartNetwork(Done done);
  void NetworkStatusThen(std::function<void(absl::StatusOr<msb::v1::NetworkStatus>)> done);
  // False when the sandbox is at rest; an error when its network cannot be changed now.
  absl::StatusOr<bool> NetworkRuns() const;
  std::string NetworkSocket() const;

  // --- its secrets (sandbox_secrets.cc; docs/secrets.md) ---

  void AddSecretValues(SecretValues values);
  void UpdateSecrets(SecretList set, std::vector<std::string> remove, SecretValues values,
                     Done done);

  // Picks up where an earlier life of the daemon left off. Once, before any verb.
  void Recover();

  // --- for those who use the guest ---

  // The agent and the image of a running guest; else kSandboxNotRunning or kSandboxWrongState.
  struct Guest {
    std::shared_ptr<AgentClient> agent;
    const ImageConfig* image = nullptr;
  };
  absl::StatusOr<Guest> UseGuest() const;
  // Keeps the sandbox from being idle. May be let go of on any thread.
  std::shared_ptr<void> BeginActivity();
  // nullptr without a VMM.
  std::shared_ptr<VmmControl> control() const { return run_ ? run_->control : nullptr; }
  // Commands that run as far as the daemon knows: those it started and has not seen end. Too many,
  // once some have ended in the background; CountExecs asks the guest.
  const std::set<std::string>& running_execs() const { return running_execs_; }
  void CountExecs(Done done);
  // Begun: on its way to the guest. Known: the guest has it. Ended: false when that was known
  // already.
  void ExecBegun(const std::string& id);
  void ExecKnown(const std::string& id) { opening_execs_.erase(id); }
  bool ExecEnded(const std::string& id);

  // `changed` is called after each change of the state and after the removal.
  uint64_t Observe(std::function<void()> changed);
  void Unobserve(uint64_t id) { observers_.erase(id); }
  bool removed() const { return removed_; }
  // The daemon is about to end: whoever waits is told so, and nothing begins any more.
  void EndCalls();
  // At the end of the daemon: nobody is told anything any more.
  void LetGo();

 private:
  // While there is a VMM process.
  struct Run {
    LaunchedVmm vmm;
    std::map<std::string, UniqueFd> companions;  // pidfds, by name, of those that are watched
    ImageConfig image;
    bool restored = false;  // has gone on from a boot snapshot
    std::shared_ptr<VmmControl> control;
    std::shared_ptr<AgentClient> agent;  // once the guest is ready
  };
  // Runs `job()` on a worker and then `(this->*then)(result)`, or `then(*this, result)`, on the
  // loop.
  template <typename Job, typename Result>
  void RunBlocking(Job job, void (Sandbox::*then)(Result));
  template <typename Job, typename Then>
  void RunBlocking(Job job, Then then);
  // What calls `then` on the loop, from whatever thread, unless the sandbox is gone by then.
  template <typename Argument>
  std::function<void(Argument)> OnLoop(std::function<void(Sandbox&, Argument)> then);

  // sandbox.cc
  absl::Status Journal();
  void LeaveRun();
  void SetState(msb::v1::SandboxState state, Reason reason = Reason::kUnspecified,
                std::string detail = "");
  void Announce(msb::v1::SandboxState from, msb::v1::SandboxState to);
  absl::Status NotNow(absl::string_view verb) const;
  void ArmTimers();
  void ArmIdleTimer();
  void OnIdle();
  void TakeExecs(const std::set<std::string>& before, const msb::agent::v1::ExecList& execs);
  void EndActivity();

  // sandbox_network.cc
  // Calls `change` when it is its turn, with what calls `done` and ends the turn.
  template <typename Outcome>
  void InTurn(std::function<void(Outcome)> done,
              std::function<void(std::type_identity_t<std::function<void(Outcome)>>)> change);
  void UpdateNetworkNow(msb::v1::Network network, Done done);
  void PublishPortNow(msb::v1::PublishedPort port,
                      std::function<void(absl::StatusOr<msb::v1::PublishedPort>)> done);
  void UnpublishPortNow(msb::v1::PublishedPort port, Done done);
  void RestartNetworkNow(Done done);
  void NetworkStatusNow(std::function<void(absl::StatusOr<msb::v1::NetworkStatus>)> done);
  // Tells its msb-net and those of the other members that run of each other.
  void MeetNeighbours();
  void Meet(const std::shared_ptr<Sandbox>& other);
  void BeMet(const std::shared_ptr<Sandbox>& other, std::shared_ptr<const UniqueFd> end);
  void OnNotMet(const Sandbox& other, const absl::Status& why) const;
  void OnNetworkRestarted(RestartedNetwork restarted, const Done& asked);
  void AskNetworkThen(
      msb::net::v1::ControlRequest request,
      std::function<void(Sandbox&, absl::StatusOr<msb::net::v1::ControlResponse>)> done);

  // sandbox_secrets.cc
  // kSecretValueMissing; kSecretInvalid for one in `added` that the sandbox has not.
  absl::Status CheckSecretValues(const SecretValues& added) const;
  // Of a running sandbox whose msb-secrets has ended: for the next one (RestartNetwork).
  absl::Status TakeMissingValues(SecretValues values);
  void TrustSecretsThen(Done done);
  void UpdateSecretsNow(const SecretList& set, const std::vector<std::string>& remove,
                        const SecretValues& values, Done done);

  // sandbox_start.cc
  void OnFilesMade(absl::Status status);
  void BeginLaunch(Leftovers leftovers);
  void Launch(Leftovers leftovers);
  void BootInstead(const MachineShape& shape, const EndVerdict& verdict, Leftovers leftovers);
  void OnLaunched(absl::StatusOr<LaunchOutcome> outcome);
  void Mark(absl::string_view stage, absl::Time when);
  absl::Status ServeVmm();
  void OnVmEvent(const msb::vmm::v1::VmEvent& event);
  void ConnectAgent();
  void MeetAgent();
  void OnClockSet(absl::Status status);
  void OnTrusted(absl::Status status);
  void OnAgentAnswered(absl::Status status);
  void FailStart(absl::Status error);
  void Adopt();
  void OnAdoptedStatus(absl::StatusOr<msb::vmm::v1::ControlResponse> response);

  // sandbox_companions.cc
  bool CompanionRuns(absl::string_view name) const;
  void TakeCompanions(std::vector<LaunchedCompanion> companions);
  void AdoptCompanions();
  void WatchCompanion(const std::string& name, UniqueFd pidfd);
  void UnwatchCompanion(const std::string& name);
  void UnwatchCompanions();
  void TakeRestarted(const std::string& name, absl::StatusOr<LaunchedCompanion> restarted,
                     const Done& done);
  void OnCompanionEnded(const std::string& name);
  struct EndedCompanion {
    std::string name;
    absl::StatusOr<CompanionEnd> end;
  };
  void OnCompanionCleared(EndedCompanion ended);
  void SetCompanionEnded(absl::string_view name, Reason reason, std::string detail);

  // sandbox_stop.cc
  void OnVmmEnded();
  // When the agent does not take the request: kill at once, or wait, since it may be at it already.
  enum class OnRefusal { kKill, kWait };
  void ShutDownGuest(absl::Duration grace, OnRefusal on_refusal);
  void EndRun();
  void OnCleared(VmmEnd end);
  void OnFilesRemoved(absl::Status status);
  static void Answer(std::vector<Done>& waiters, const absl::Status& status);

  const SandboxContext& context_;
  SandboxRecord record_;
  const LaunchPlan plan_;
  const std::function<void()> on_removed_;
  const Neighbours neighbours_;
  std::optional<Run> run_;
  SecretValues secret_values_;  // known to this life of the daemon
  Turns network_turns_;
  // Of the run that starts: the shape of the boot snapshot that it goes on from, until its agent
  // has said a word; or of the one that it lacks.
  std::optional<MachineShape> unproven_snapshot_;
  std::optional<MachineShape> missed_snapshot_;
  bool launching_ = false;  // a worker is at it
  bool clearing_ = false;   // a worker is at it
  bool removed_ = false;
  absl::Time start_request_;
  // Of the run that is ending: set by whoever ends it, else judged by what the VMM left behind.
  std::optional<EndVerdict> verdict_;
  absl::Status start_error_;  // what the waiters for the start are told; OK: as the verdict says
  std::vector<Done> start_waiters_;
  std::vector<Done> stop_waiters_;
  std::vector<Done> remove_waiters_;
  std::vector<Done> count_waiters_;
  std::map<uint64_t, std::function<void()>> observers_;
  uint64_t next_observer_ = 1;
  std::set<std::string> running_execs_;
  uint32_t file_operations_ = 0;         // that the guest knew of when it was asked last
  std::set<std::string> opening_execs_;  // of those, the ones the guest may not know yet
  int active_ = 0;
  LoopTimer start_timer_;
  LoopTimer stop_timer_;
  LoopTimer idle_timer_;
  LoopTimer lifetime_timer_;
};

template <typename Job, typename Result>
void Sandbox::RunBlocking(Job job, void (Sandbox::*then)(Result)) {
  context_.workers.Run([self = shared_from_this(), job = std::move(job), then]() mutable {
    auto result = std::make_shared<std::decay_t<Result>>(job());
    EventLoop& loop = self->context_.loop;
    // Moved, so that the last reference never goes on the worker.
    loop.Post([self = std::move(self), result, then] { ((*self).*then)(std::move(*result)); });
  });
}

template <typename Job, typename Then>
void Sandbox::RunBlocking(Job job, Then then) {
  context_.workers.Run(
      [self = shared_from_this(), job = std::move(job), then = std::move(then)]() mutable {
        auto result = std::make_shared<std::decay_t<decltype(job())>>(job());
        EventLoop& loop = self->context_.loop;
        loop.Post([self = std::move(self), then = std::move(then), result]() mutable {
          then(*self, std::move(*result));
        });
      });
}

template <typename Outcome>
void Sandbox::InTurn(
    std::function<void(Outcome)> done,
    std::function<void(std::type_identity_t<std::function<void(Outcome)>>)> change) {
  network_turns_.Take(
      [this, done = std::move(done), change = std::move(change)](absl::StatusOr<Turns::Turn> turn) {
        if (!turn.ok()) return done(turn.status());
        if (record_.removing) return done(NotNow("change the network of"));
        change([turn = *std::move(turn), done](Outcome outcome) { done(std::move(outcome)); });
      });
}

template <typename Argument>
std::function<void(Argument)> Sandbox::OnLoop(std::function<void(Sandbox&, Argument)> then) {
  return
      [&loop = context_.loop, weak = weak_from_this(), then = std::move(then)](Argument argument) {
        loop.Post([weak, then, argument = std::move(argument)] {
          if (const auto self = weak.lock()) then(*self, argument);
        });
      };
}

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_SANDBOX_H_
