// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What all sandboxes work with.

#ifndef MSB_SUPERVISOR_SANDBOX_CONTEXT_H_
#define MSB_SUPERVISOR_SANDBOX_CONTEXT_H_

#include <vector>

#include "base/event_loop.h"
#include "supervisor/config/config.h"
#include "supervisor/events/event_ring.h"
#include "supervisor/images/images.h"
#include "supervisor/launch/engine_choice.h"
#include "supervisor/launch/launcher.h"
#include "supervisor/sandbox/boot_snapshots.h"
#include "supervisor/store/data_directory.h"
#include "supervisor/store/sandbox_store.h"
#include "supervisor/threads/worker_pool.h"

namespace msb {

// Everything outlives the sandboxes.
struct SandboxContext {
  const Config& config;
  EventLoop& loop;  // owns the sandboxes: they, the registry and the store are used on it alone
  std::vector<EventLoop*> io_loops;  // carry the data of commands and files
  WorkerPool& workers;               // for what blocks
  SandboxStore& store;
  const DataDirectory& data;
  Launcher& launcher;
  const EngineFacts& engines;  // measured when the daemon started
  EventRing& events;
  Images& images;
  BootSnapshots& snapshots;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_CONTEXT_H_
