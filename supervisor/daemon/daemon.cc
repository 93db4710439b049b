// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/daemon/daemon.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/daemon/launch_settings.h"
#include "supervisor/launch/engine_probe.h"

namespace msb {

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Config& config) {
  std::unique_ptr<Daemon> daemon(new Daemon(config));
  MSB_RETURN_IF_ERROR(daemon->OpenHouse());
  MSB_RETURN_IF_ERROR(daemon->OpenImages());
  MSB_RETURN_IF_ERROR(daemon->StartThreads());
  MSB_RETURN_IF_ERROR(daemon->RecoverSandboxes());
  MSB_ASSIGN_OR_RETURN(daemon->api_, ApiServer::Start(config, *daemon->registry_));
  return daemon;
}

absl::Status Daemon::OpenHouse() {
  MSB_ASSIGN_OR_RETURN(DataDirectory data, DataDirectory::Open(config_.daemon.data_directory));
  data_ = std::make_unique<DataDirectory>(std::move(data));
  MSB_ASSIGN_OR_RETURN(SandboxStore store, SandboxStore::Open(data_->database()));
  store_ = std::make_unique<SandboxStore>(std::move(store));
  // Others pass through to the API's socket.
  MSB_RETURN_IF_ERROR(EnsureDirectory(config_.daemon.runtime_directory, 0711));
  engines_ = ProbeEngines({.vmm_path = config_.daemon.vmm,
                           .qemu_directory = QemuDirectory(config_),
                           .cache_file = config_.daemon.data_directory + "/engines.json"},
                          ProbeCache::kUse);
  const auto choice = ChooseEngine(engines_, EnginePreference::kAuto);
  MSB_LOG(kInfo) << (choice.ok() ? choice->explanation : std::string(choice.status().message()));
  MSB_ASSIGN_OR_RETURN(launcher_, JailedLauncher::Create(LaunchOptionsOf(config_, engines_)));
  return absl::OkStatus();
}

absl::Status Daemon::OpenImages() {
  MSB_ASSIGN_OR_RETURN(image_jobs_, JailedImageJobs::Create(LaunchOptionsOf(config_, engines_),
                                                            ImageJobOptionsOf(config_)));
  MSB_ASSIGN_OR_RETURN(images_, Images::Open(config_, data_->images(), *image_jobs_, events_));
  return absl::OkStatus();
}

absl::Status Daemon::StartThreads() {
  MSB_ASSIGN_OR_RETURN(house_, LoopThread::Start("house"));
  for (uint32_t i = 0; i < config_.agent.io_threads; ++i) {
    MSB_ASSIGN_OR_RETURN(std::unique_ptr<LoopThread> thread,
                         LoopThread::Start(absl::StrCat("io", i)));
    io_.push_back(std::move(thread));
  }
  workers_ = std::make_unique<WorkerPool>(config_.daemon.workers);
  return absl::OkStatus();
}

absl::Status Daemon::RecoverSandboxes() {
  snapshots_ = BootSnapshots::Open(*launcher_, BootSnapshotOptionsOf(config_, engines_, *data_));
  std::vector<EventLoop*> io_loops;
  for (const auto& thread : io_) io_loops.push_back(&thread->loop());
  registry_ = std::make_unique<Registry>(SandboxContext{.config = config_,
                                                        .loop = house_->loop(),
                                                        .io_loops = std::move(io_loops),
                                                        .workers = *workers_,
                                                        .store = *store_,
                                                        .data = *data_,
                                                        .launcher = *launcher_,
                                                        .engines = engines_,
                                                        .events = events_,
                                                        .images = *images_,
                                                        .snapshots = *snapshots_});
  absl::Status recovered;
  absl::Notification done;
  house_->loop().Post([&] {
    recovered = registry_->Recover();
    done.Notify();
  });
  done.WaitForNotification();
  return recovered;
}

Daemon::~Daemon() {
  if (images_ != nullptr) images_->EndCalls();
  if (api_ != nullptr) api_->Shutdown();
  // Threads end before what they use; late posts to a stopped loop are harmless.
  if (house_ != nullptr) house_->Stop();
  if (workers_ != nullptr) workers_->Stop();
  for (const auto& thread : io_) thread->Stop();
  api_.reset();
  registry_.reset();
  snapshots_.reset();
  images_.reset();
}

}  // namespace msb
