// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/sandbox/lifecycle.h"
#include "supervisor/sandbox/mounts.h"
#include "supervisor/sandbox/names.h"
#include "supervisor/sandbox/network.h"
#include "supervisor/sandbox/validate.h"
#include "supervisor/store/ids.h"

namespace msb {
namespace {

constexpr size_t kMinPrefixBytes = 4;

bool Matches(const msb::v1::ListRequest& filter, const Sandbox& sandbox) {
  const auto& labels = sandbox.record().spec.labels();
  for (const auto& [key, value] : filter.labels()) {
    const auto it = labels.find(key);
    if (it == labels.end() || it->second != value) return false;
  }
  return filter.states().empty() || std::find(filter.states().begin(), filter.states().end(),
                                              sandbox.state()) != filter.states().end();
}

}  // namespace

Registry::Registry(SandboxContext context)
    : context_(std::move(context)),
      random_(std::random_device{}()),
      volumes_(context_, [this](absl::string_view name) { return UsersOf(name); }),
      private_networks_(context_.store, [this](uint32_t owner_uid, const std::string& network) {
        return MembersOf(owner_uid, network);
      }) {}

Registry::~Registry() {
  // Who waits for a sandbox holds it, and it holds them.
  for (const auto& [id, sandbox] : by_id_) sandbox->LetGo();
}

absl::Status Registry::Recover() {
  MSB_RETURN_IF_ERROR(volumes_.Recover());
  MSB_RETURN_IF_ERROR(private_networks_.Recover());
  MSB_ASSIGN_OR_RETURN(std::vector<SandboxRecord> records, context_.store.LoadAll());
  std::vector<std::shared_ptr<Sandbox>> sandboxes;
  for (SandboxRecord& record : records) {
    if (const absl::Status pinned = PinImage(record); !pinned.ok()) {
      MSB_LOG(kError) << "sandbox " << record.id << ": " << pinned.message();
    }
    sandboxes.push_back(Add(std::move(record)));
  }
  for (const auto& sandbox : sandboxes) sandbox->Recover();
  MSB_LOG(kInfo) << "the journal has " << records.size() << " sandboxes";
  ReportOrphans();
  return absl::OkStatus();
}

// A folder without a row means that the database was lost, not that a daemon was killed: a row
// comes first and goes last. Whoever lost the one may want the other.
void Registry::ReportOrphans() const {
  const auto folders = context_.data.ListSandboxes();
  if (!folders.ok()) {
    MSB_LOG(kWarning) << folders.status().message();
    return;
  }
  for (const std::string& folder : *folders) {
    if (by_id_.contains(folder)) continue;
    MSB_LOG(kWarning) << context_.data.OfSandbox(folder)
                      << " belongs to no sandbox; delete it if you do not know it";
  }
}

std::shared_ptr<Sandbox> Registry::Add(SandboxRecord record) {
  const std::string id = record.id;
  slots_.insert(record.slot);
  id_of_name_.insert_or_assign(record.spec.name(), id);
  auto sandbox = std::make_shared<Sandbox>(
      context_, std::move(record), [this, id] { Forget(id); },
      [this](const SandboxRecord& asking) { return NeighboursOf(asking); });
  by_id_.insert_or_assign(id, sandbox);
  return sandbox;
}

void Registry::Forget(const std::string& id) {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return;
  slots_.erase(it->second->record().slot);
  id_of_name_.erase(it->second->record().spec.name());
  context_.images.catalog().Unpin(id);
  by_id_.erase(it);
}

absl::Status Registry::PinImage(const SandboxRecord& record) const {
  return context_.images.catalog().Pin(
      record.id, {.sandbox = record.spec.name(), .owner_uid = record.owner_uid},
      record.spec.image_digest());
}

absl::StatusOr<uint32_t> Registry::FreeSlot() const {
  if (by_id_.size() >= context_.config.limits.max_sandboxes) {
    return MakeError(Reason::kLimitExceeded, absl::StrCat("there are ", by_id_.size(),
                                                          " sandboxes; limits.max_sandboxes = ",
                                                          context_.config.limits.max_sandboxes));
  }
  uint32_t slot = 0;
  while (slots_.contains(slot)) ++slot;
  return slot;
}

absl::Status Registry::CheckMounts(const Caller& caller, msb::v1::SandboxSpec& spec) const {
  for (msb::v1::Mount& mount : *spec.mutable_mounts()) {
    if (mount.has_host()) {
      MSB_RETURN_IF_ERROR(CheckHostMount(caller, context_.config.mounts, mount.host()));
    }
    if (mount.has_volume()) {
      MSB_ASSIGN_OR_RETURN(const VolumeRecord volume, volumes_.Find(caller, mount.volume().name()));
      mount.mutable_volume()->set_kind(volume.kind);
    }
    MSB_RETURN_IF_ERROR(CompleteQuota(context_.config.mounts, mount));
  }
  return absl::OkStatus();
}

std::vector<std::string> Registry::UsersOf(absl::string_view volume) const {
  std::vector<std::string> users;
  for (const auto& [id, sandbox] : by_id_) {
    const auto& mounts = sandbox->record().spec.mounts();
    const bool mounted = std::any_of(mounts.begin(), mounts.end(), [&](const auto& mount) {
      return mount.has_volume() && mount.volume().name() == volume;
    });
    if (mounted) users.push_back(sandbox->record().spec.name());
  }
  return users;
}

std::vector<std::string> Registry::MembersOf(uint32_t owner_uid, const std::string& network) const {
  std::vector<std::string> members;
  for (const auto& [id, sandbox] : by_id_) {
    const auto& networks = sandbox->record().spec.network().private_networks();
    if (sandbox->record().owner_uid == owner_uid &&
        std::find(networks.begin(), networks.end(), network) != networks.end()) {
      members.push_back(sandbox->record().spec.name());
    }
  }
  return members;
}

std::vector<std::shared_ptr<Sandbox>> Registry::NeighboursOf(const SandboxRecord& record) const {
  std::vector<std::shared_ptr<Sandbox>> neighbours;
  for (const auto& [id, sandbox] : by_id_) {
    if (!MemberOf(sandbox->record(), record).names().empty()) neighbours.push_back(sandbox);
  }
  return neighbours;
}

void Registry::EndCalls(absl::Duration grace) {
  context_.loop.Post([this, grace] {
    context_.loop.After(grace, [this] {
      calls_ended_ = true;
      for (const auto& [id, sandbox] : by_id_) sandbox->EndCalls();
    });
  });
}

void Registry::Create(Caller caller, msb::v1::SandboxSpec spec, bool start, OnView done,
                      SecretValues secrets) {
  context_.loop.Post([this, caller, spec = std::move(spec), start, secrets = std::move(secrets),
                      done = std::move(done)]() mutable {
    CreateNow(caller, std::move(spec), start, std::move(secrets), std::move(done));
  });
}

void Registry::CreateNow(Caller caller, msb::v1::SandboxSpec spec, bool start, SecretValues secrets,
                         OnView done) {
  if (calls_ended_) return done(MakeError(Reason::kDaemonShuttingDown, "the daemon ends"));
  // Whoever called: no value goes any further in a specification, which is written down.
  absl::StatusOr<SecretValues> values = TakeSecretValues(*spec.mutable_secrets());
  if (!values.ok()) return done(values.status());
  secrets.merge(*values);
  if (absl::Status fits = CheckValueBytes(secrets); !fits.ok()) return done(std::move(fits));
  absl::StatusOr<msb::v1::SandboxSpec> complete = CompleteSpec(std::move(spec), context_.config);
  if (!complete.ok()) return done(complete.status());
  if (complete->name().empty()) {
    complete->set_name(
        MakeUpName(random_, [this](absl::string_view name) { return id_of_name_.contains(name); }));
  } else if (id_of_name_.contains(complete->name())) {
    return done(MakeError(Reason::kSandboxNameTaken,
                          absl::StrCat("there is a sandbox '", complete->name(), "' already")));
  }
  if (start) {
    absl::Status known = CheckAllValues(*complete, secrets);
    if (!known.ok()) return done(std::move(known));
  }
  if (absl::Status mounts = CheckMounts(caller, *complete); !mounts.ok()) {
    return done(std::move(mounts));
  }
  const auto image = context_.images.catalog().Resolve(caller, complete->image());
  if (!image.ok()) return done(image.status());
  complete->set_image(image->name);
  complete->set_image_digest(image->digest);
  if (absl::Status known = private_networks_.Check(caller, complete->network()); !known.ok()) {
    return done(std::move(known));
  }
  absl::Status admitted =
      start ? AdmitMemory(complete->resources().memory_mib()) : absl::OkStatus();
  const absl::StatusOr<uint32_t> slot = FreeSlot();
  if (admitted.ok()) admitted = slot.status();
  if (!admitted.ok()) return done(admitted);

  SandboxRecord record;
  record.id = NewId();
  record.slot = *slot;
  record.owner_uid = caller.uid;
  for (const msb::v1::PublishedPort& port : complete->network().ports()) {
    if (absl::Status status = CheckPortRights(caller, port); !status.ok()) {
      return done(std::move(status));
    }
  }
  record.owner_gid = caller.gid;
  record.owner_groups = caller.groups;
  record.spec = *std::move(complete);
  record.has_disk = !record.spec.resources().disk_in_memory();
  record.created_at = absl::Now();
  // Before the row: a row without its image could not be started.
  absl::Status kept = PinImage(record);
  if (kept.ok()) kept = context_.store.Put(record);
  if (!kept.ok()) {
    context_.images.catalog().Unpin(record.id);
    return done(std::move(kept));
  }
  const std::shared_ptr<Sandbox> sandbox = Add(std::move(record));
  sandbox->AddSecretValues(std::move(secrets));
  sandbox->AnnounceCreation();
  sandbox->MakeFiles(
      [this, caller, sandbox, start, done = std::move(done)](const absl::Status& made) {
        if (!made.ok()) {
          return sandbox->Remove([made, done](const absl::Status&) { done(made); });
        }
        if (!start) return done(sandbox->View());
        Start(caller, sandbox, [sandbox, done](const absl::Status& started) {
          if (!started.ok()) return done(started);
          done(sandbox->View());
        });
      });
}

void Registry::Start(const Caller& caller, const std::shared_ptr<Sandbox>& sandbox,
                     Sandbox::Done done, SecretValues secrets) {
  if (IsAtRest(sandbox->state())) {
    absl::Status admitted = AdmitMemory(sandbox->record().spec.resources().memory_mib());
    if (!admitted.ok()) return done(std::move(admitted));
    sandbox->TakeGroups(caller);
  }
  sandbox->Start(std::move(done), std::move(secrets));
}

absl::Status Registry::AdmitMemory(uint32_t memory_mib) const {
  const uint64_t max = context_.config.limits.max_total_memory_mib;
  if (max == 0) return absl::OkStatus();
  uint64_t used = 0;
  for (const auto& [id, sandbox] : by_id_) {
    if (HasVmm(sandbox->state())) used += sandbox->record().spec.resources().memory_mib();
  }
  if (used + memory_mib <= max) return absl::OkStatus();
  return MakeError(Reason::kLimitExceeded,
                   absl::StrCat("running sandboxes have ", used, " MiB, this one would add ",
                                memory_mib, "; limits.max_total_memory_mib = ", max));
}

void Registry::Remove(const std::shared_ptr<Sandbox>& sandbox, bool force, Sandbox::Done done) {
  if (IsAtRest(sandbox->state())) return sandbox->Remove(std::move(done));
  if (!force) {
    return done(MakeError(Reason::kSandboxWrongState,
                          absl::StrCat("the sandbox is ", StateName(sandbox->state()),
                                       "; stop it first, or remove it with force")));
  }
  sandbox->Stop({.force = true}, [sandbox, done = std::move(done)](const absl::Status& stopped) {
    if (!stopped.ok()) return done(stopped);
    sandbox->Remove(done);
  });
}

void Registry::List(Caller caller, msb::v1::ListRequest filter,
                    std::function<void(msb::v1::ListResponse)> done) {
  context_.loop.Post([this, caller, filter = std::move(filter), done = std::move(done)] {
    std::vector<const Sandbox*> matching;
    for (const auto& [id, sandbox] : by_id_) {
      if (caller.MaySee(sandbox->record().owner_uid) && Matches(filter, *sandbox)) {
        matching.push_back(sandbox.get());
      }
    }
    std::sort(matching.begin(), matching.end(), [](const Sandbox* a, const Sandbox* b) {
      return a->record().created_at > b->record().created_at;
    });
    msb::v1::ListResponse response;
    for (const Sandbox* sandbox : matching) {
      *response.add_sandboxes() = sandbox->View();
      HideHostPaths(caller, *response.mutable_sandboxes()->rbegin());
    }
    done(std::move(response));
  });
}

void Registry::With(Caller caller, std::string name, OnFound done) {
  context_.loop.Post(
      [this, caller, name = std::move(name), done = std::move(done)] { done(Find(caller, name)); });
}

Registry::Found Registry::Find(Caller caller, absl::string_view name) const {
  if (calls_ended_) return MakeError(Reason::kDaemonShuttingDown, "the daemon ends");
  const auto visible = [&](const std::shared_ptr<Sandbox>& sandbox) {
    return caller.MaySee(sandbox->record().owner_uid);
  };
  const absl::Status not_found = MakeError(
      Reason::kSandboxNotFound,
      name.empty() ? "the call names no sandbox"
                   : absl::StrCat("there is no sandbox '", EscapeForLog(name.substr(0, 128)), "'"));
  if (const auto it = by_id_.find(std::string(name)); it != by_id_.end() && visible(it->second)) {
    return it->second;
  }
  if (const auto it = id_of_name_.find(name); it != id_of_name_.end()) {
    const auto& sandbox = by_id_.at(it->second);
    if (visible(sandbox)) return sandbox;
  }
  if (name.size() < kMinPrefixBytes) return not_found;
  std::shared_ptr<Sandbox> found;
  for (auto it = by_id_.lower_bound(std::string(name));
       it != by_id_.end() && absl::StartsWith(it->first, name); ++it) {
    if (!visible(it->second)) continue;
    if (found) {
      return MakeError(Reason::kSandboxNotFound,
                       absl::StrCat("more than one sandbox has an id that begins with ", name));
    }
    found = it->second;
  }
  if (!found) return not_found;
  return found;
}

void Registry::Count(std::function<void(Counts)> done) {
  context_.loop.Post([this, done = std::move(done)] {
    Counts counts;
    for (const auto& [id, sandbox] : by_id_) {
      ++counts.sandboxes;
      if (sandbox->state() == msb::v1::SANDBOX_STATE_RUNNING) ++counts.running;
    }
    done(counts);
  });
}

}  // namespace msb
