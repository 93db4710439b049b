// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/supervisor/daemon_fixture.h"

#include <filesystem>

#include "base/check.h"
#include "supervisor/config/settings.h"
#include "supervisor/sandbox/state_wait.h"

namespace msb {

DaemonFixture::DaemonFixture() : config_(DefaultConfig()), launcher_(dir_.path() + "/run") {
  config_.daemon.assets_directory = assets();
  config_.daemon.data_directory = data();
  config_.daemon.runtime_directory = dir_.path() + "/run";
  config_.sandbox.disk_mib = 16;
  engines_.kvm.state = KvmState::kHardware;
  snapshot_options_.directory = data() + "/boot-snapshots";
  snapshot_options_.id = "boot-snapshot-test";
  std::filesystem::create_directories(dir_.path() + "/run");
  MakeAssets();
}

DaemonFixture::~DaemonFixture() { Crash(); }

void DaemonFixture::MakeAssets() const {
  std::filesystem::create_directories(assets() + "/images/default");
  dir_.Write("assets/images/default/rootfs.erofs", "image");
  dir_.Write("assets/images/default/image.json",
             R"({"env": {"PATH": "/usr/bin:/bin", "FROM_IMAGE": "yes"}, "workdir": "/"})");
  dir_.Write("assets/vmlinux", "kernel");
  dir_.Write("assets/initramfs.cpio", "initramfs");
  std::filesystem::create_directories(assets() + "/disks");
  dir_.Write("assets/disks/16.ext4", "template");
}

void DaemonFixture::Up() {
  data_.emplace(*DataDirectory::Open(data()));
  store_.emplace(*SandboxStore::Open(data_->database()));
  events_ = std::make_unique<EventRing>(config_.events.kept);
  images_ = *Images::Open(config_, data_->images(), image_jobs_, *events_);
  snapshots_ = BootSnapshots::Open(launcher_, snapshot_options_);
  loop_ = *LoopThread::Start("house");
  io_ = *LoopThread::Start("io");
  workers_ = std::make_unique<WorkerPool>(2);
  registry_ = std::make_unique<Registry>(SandboxContext{.config = config_,
                                                        .loop = loop_->loop(),
                                                        .io_loops = {&io_->loop()},
                                                        .workers = *workers_,
                                                        .store = *store_,
                                                        .data = *data_,
                                                        .launcher = launcher_,
                                                        .engines = engines_,
                                                        .events = *events_,
                                                        .images = *images_,
                                                        .snapshots = *snapshots_});
  const absl::Status recovered = Await<absl::Status>([&](std::function<void(absl::Status)> done) {
    loop_->loop().Post([this, done] { done(registry_->Recover()); });
  });
  MSB_CHECK(recovered.ok());
}

void DaemonFixture::Crash() {
  if (!registry_) return;
  loop_->Stop();
  workers_->Stop();
  io_->Stop();
  registry_.reset();
  snapshots_.reset();
  images_.reset();
  workers_.reset();
  io_.reset();
  loop_.reset();
  store_.reset();
  data_.reset();
}

SandboxStore DaemonFixture::OpenStore() { return *SandboxStore::Open(data() + "/state.db"); }

absl::StatusOr<msb::v1::Sandbox> DaemonFixture::Create(msb::v1::SandboxSpec spec, bool start) {
  return Await<absl::StatusOr<msb::v1::Sandbox>>(
      [&](auto done) { registry_->Create(caller, spec, start, done); });
}

absl::StatusOr<msb::v1::Sandbox> DaemonFixture::Get(const std::string& name) {
  return Await<absl::StatusOr<msb::v1::Sandbox>>([&](auto done) {
    registry_->With(caller, name, [done](Registry::Found found) {
      if (!found.ok()) return done(found.status());
      done((*found)->View());
    });
  });
}

absl::Status DaemonFixture::Do(
    const std::string& name,
    const std::function<void(const std::shared_ptr<Sandbox>&, Sandbox::Done)>& verb) {
  return Await<absl::Status>([&](auto done) {
    registry_->With(caller, name, [done, verb](Registry::Found found) {
      if (!found.ok()) return done(found.status());
      verb(*found, done);
    });
  });
}

absl::Status DaemonFixture::Start(const std::string& name) {
  return Do(name, [this](const auto& sandbox, Sandbox::Done done) {
    registry_->Start(caller, sandbox, std::move(done));
  });
}

absl::Status DaemonFixture::Stop(const std::string& name, Sandbox::StopOptions options) {
  return Do(name, [options](const auto& sandbox, Sandbox::Done done) {
    sandbox->Stop(options, std::move(done));
  });
}

absl::Status DaemonFixture::Remove(const std::string& name, bool force) {
  return Do(name, [force](const auto& sandbox, Sandbox::Done done) {
    Registry::Remove(sandbox, force, std::move(done));
  });
}

absl::StatusOr<msb::v1::Sandbox> DaemonFixture::WaitFor(const std::string& name,
                                                        msb::v1::SandboxState state) {
  // Shared: `done` may let us return before Begin does.
  const auto wait = std::make_shared<std::shared_ptr<StateWait>>();
  return Await<absl::StatusOr<msb::v1::Sandbox>>([&](auto done) {
    registry_->With(caller, name, [wait, done, state](Registry::Found found) {
      if (!found.ok()) return done(found.status());
      *wait = StateWait::Begin(*found, {state}, done);
    });
  });
}

void DaemonFixture::WaitForRemoval(const std::string& name) {
  const auto gone = WaitFor(name, msb::v1::SANDBOX_STATE_UNSPECIFIED);
  MSB_CHECK(!gone.ok());
}

}  // namespace msb
