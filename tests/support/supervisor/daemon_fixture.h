// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// All of the daemon below its API, over a fake launcher, with calls that wait for their answer.

#ifndef MSB_TESTS_SUPPORT_SUPERVISOR_DAEMON_FIXTURE_H_
#define MSB_TESTS_SUPPORT_SUPERVISOR_DAEMON_FIXTURE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "supervisor/config/config.h"
#include "supervisor/sandbox/guest_operations.h"
#include "supervisor/sandbox/registry.h"
#include "supervisor/threads/loop_thread.h"
#include "tests/support/supervisor/fake_image_jobs.h"
#include "tests/support/supervisor/fake_launcher.h"
#include "tests/support/temp_dir.h"

namespace msb {

class DaemonFixture {
 public:
  DaemonFixture();
  ~DaemonFixture();

  // The daemon runs from here on. The configuration may be changed before.
  void Up();
  // As after a SIGKILL: nothing is told to anybody, the VMMs run on.
  void Crash();

  Config& config() { return config_; }
  FakeLauncher& launcher() { return launcher_; }
  EventRing& events() { return *events_; }
  FakeImageJobs& image_jobs() { return image_jobs_; }
  Images& images() { return *images_; }
  // None are made or used unless this says so before Up.
  BootSnapshots::Options& snapshot_options() { return snapshot_options_; }
  BootSnapshots& snapshots() { return *snapshots_; }
  Registry& registry() { return *registry_; }
  const SandboxContext& context() { return registry_->context(); }
  std::string assets() const { return dir_.path() + "/assets"; }
  std::string data() const { return dir_.path() + "/data"; }
  const TempDir& dir() const { return dir_; }

  // Of the journal, while the daemon is down.
  SandboxStore OpenStore();

  // --- calls, as root unless told otherwise ---
  Caller caller{.uid = 0, .sees_all = true};
  absl::StatusOr<msb::v1::Sandbox> Create(msb::v1::SandboxSpec spec = {}, bool start = true);
  absl::StatusOr<msb::v1::Sandbox> Get(const std::string& name);
  absl::Status Do(const std::string& name,
                  const std::function<void(const std::shared_ptr<Sandbox>&, Sandbox::Done)>& verb);
  absl::Status Start(const std::string& name);
  absl::Status Stop(const std::string& name, Sandbox::StopOptions options = {});
  absl::Status Remove(const std::string& name, bool force = false);
  absl::StatusOr<msb::v1::Sandbox> WaitFor(const std::string& name, msb::v1::SandboxState state);
  // Returns once no sandbox has this name.
  void WaitForRemoval(const std::string& name);

  // Runs `call` with a callback and waits for it.
  template <typename T>
  static T Await(const std::function<void(std::function<void(T)>)>& call) {
    std::optional<T> result;
    absl::Notification answered;
    call([&](T value) {
      result.emplace(std::move(value));
      answered.Notify();
    });
    answered.WaitForNotification();
    return *std::move(result);
  }

 private:
  void MakeAssets() const;

  const TempDir dir_;
  Config config_;
  EngineFacts engines_;
  FakeLauncher launcher_;
  FakeImageJobs image_jobs_;
  std::unique_ptr<EventRing> events_;
  std::optional<DataDirectory> data_;
  std::optional<SandboxStore> store_;
  std::unique_ptr<LoopThread> loop_;
  std::unique_ptr<LoopThread> io_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<Images> images_;
  BootSnapshots::Options snapshot_options_;
  std::unique_ptr<BootSnapshots> snapshots_;
  std::unique_ptr<Registry> registry_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_SUPERVISOR_DAEMON_FIXTURE_H_
