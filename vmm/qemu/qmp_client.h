// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// QEMU's machine protocol (docs/interop/qmp-spec): JSON objects, one a line. Commands go out in the
// order of the calls; those made before QEMU has said hello wait for it.
//
// QEMU is as hostile as its guest: a line has a limit, and what is no QMP ends the connection.
// Threading: the event loop's.

#ifndef MSB_VMM_QEMU_QMP_CLIENT_H_
#define MSB_VMM_QEMU_QMP_CLIENT_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace msb {

// What the machine wants to know of QEMU's events.
class QmpObserver {
 public:
  virtual ~QmpObserver() = default;
  // QEMU has built the machine and serves its monitor.
  virtual void OnQmpReady() = 0;
  // SHUTDOWN: QEMU is about to exit; `reason` is a ShutdownCause ("guest-reset", "guest-panic",
  // ...).
  virtual void OnQmpShutdown(absl::string_view reason) = 0;
  // BALLOON_CHANGE: the guest's memory is now so large.
  virtual void OnQmpBalloonChange(uint64_t bytes) = 0;
  // The connection has ended: kUnavailable when QEMU hung up, kQemuError when it spoke no QMP.
  // Every command under way was answered by that status. Called once.
  virtual void OnQmpEnd(absl::Status why) = 0;
};

class QmpClient {
 public:
  // kQemuError when QEMU refused the command.
  using Done = std::function<void(absl::Status)>;
  static constexpr size_t kMaxLineBytes = 64 << 10;

  // `loop` and `observer` outlive the client. The observer may not destroy it from a call.
  static absl::StatusOr<std::unique_ptr<QmpClient>> Create(EventLoop& loop, UniqueFd socket,
                                                           QmpObserver& observer);
  QmpClient(const QmpClient&) = delete;
  QmpClient& operator=(const QmpClient&) = delete;
  ~QmpClient();

  void Stop(Done done) { Execute("stop", "", std::move(done)); }
  void Continue(Done done) { Execute("cont", "", std::move(done)); }
  // The size that the guest's memory is to have.
  void Balloon(uint64_t bytes, Done done);

  // Whether the guest sees a carrier on the network card whose back end has this name.
  enum class Link { kDown, kUp };
  void SetLink(absl::string_view name, Link link, Done done);

  // Writes the state of a stopped machine into `file`, without the memory, which is shared (see
  // command_line.h). `done` when it is all there.
  void SaveState(UniqueFd file, Done done);
  // Into a QEMU that was started to wait for it, from a descriptor that it has inherited under this
  // number. The machine stands afterwards, as it was saved.
  void RestoreState(int fd, Done done);

  // Takes what has come, without waiting: for the time when QEMU is known to have exited.
  void Drain();

 private:
  QmpClient(EventLoop& loop, UniqueFd socket, QmpObserver& observer)
      : loop_(loop), socket_(std::move(socket)), observer_(observer) {}
  struct Command {
    std::string line;
    UniqueFd attached = {};  // goes with it
  };
  // `arguments` is JSON, or empty.
  void Execute(absl::string_view command, absl::string_view arguments, Done done,
               UniqueFd attached = {});
  void Send(const Command& command);
  // A "migration" of QEMU's is under way from its command on until an event says how it went.
  void BeginTransfer(Done done);
  void EndTransfer(const absl::Status& status);
  Done TransferStep();
  bool OnReadable();
  absl::StatusOr<bool> ReadOnce();
  absl::Status HandleLine(absl::string_view line);
  void End(absl::Status why);

  EventLoop& loop_;
  UniqueFd socket_;
  QmpObserver& observer_;
  std::string received_;
  bool greeted_ = false;
  std::deque<Command> waiting_;  // until QEMU has greeted
  Done transfer_;                // null: none is under way
  uint64_t next_id_ = 1;
  std::map<uint64_t, Done> pending_;
};

}  // namespace msb

#endif  // MSB_VMM_QEMU_QMP_CLIENT_H_
