// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The daemon as a whole: every part made in its order, run until a signal, taken down in reverse.

#ifndef MSB_SUPERVISOR_DAEMON_DAEMON_H_
#define MSB_SUPERVISOR_DAEMON_DAEMON_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "supervisor/api/server.h"
#include "supervisor/config/config.h"
#include "supervisor/events/event_ring.h"
#include "supervisor/images/images.h"
#include "supervisor/launch/engine_choice.h"
#include "supervisor/launch/image_jobs.h"
#include "supervisor/launch/jailed_launcher.h"
#include "supervisor/sandbox/registry.h"
#include "supervisor/store/data_directory.h"
#include "supervisor/store/sandbox_store.h"
#include "supervisor/threads/loop_thread.h"
#include "supervisor/threads/worker_pool.h"

namespace msb {

class Daemon {
 public:
  // Takes calls when it returns. `config` outlives the daemon. On an error nothing runs; sandboxes
  // of an earlier life go on.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const Config& config);
  // Sandboxes go on.
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

 private:
  explicit Daemon(const Config& config) : config_(config), events_(config.events.kept) {}
  absl::Status OpenHouse();
  absl::Status OpenImages();
  absl::Status StartThreads();
  absl::Status RecoverSandboxes();

  const Config& config_;
  EventRing events_;
  EngineFacts engines_;
  std::unique_ptr<DataDirectory> data_;
  std::unique_ptr<SandboxStore> store_;
  std::unique_ptr<Launcher> launcher_;
  std::unique_ptr<ImageJobs> image_jobs_;
  std::unique_ptr<Images> images_;
  std::unique_ptr<LoopThread> house_;
  std::vector<std::unique_ptr<LoopThread>> io_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<BootSnapshots> snapshots_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<ApiServer> api_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_DAEMON_DAEMON_H_
