// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/volumes.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/images/content_store.h"
#include "supervisor/sandbox/disk.h"
#include "supervisor/sandbox/validate.h"

namespace msb {
namespace {

constexpr unsigned kPrivateMode = 0700;

// Its owner's, so that what serves it needs no right but its owner's.
absl::Status MakeFolder(const std::string& path, const VolumeRecord& record) {
  MSB_RETURN_IF_ERROR(EnsureDirectory(path, kPrivateMode));
  const auto given = Syscall(absl::StrCat("chown ", path), [&] {
    return ::chown(path.c_str(), record.owner_uid, record.owner_gid);
  });
  if (!given.ok()) return WithReason(Reason::kHostError, "volume", given.status());
  return absl::OkStatus();
}

absl::Status MakeVolumeFiles(const SandboxContext& context, const VolumeRecord& record) {
  MSB_RETURN_IF_ERROR(EnsureDirectory(context.data.OfVolume(record.name), kPrivateMode));
  if (record.kind == msb::v1::VOLUME_KIND_DIRECTORY) {
    return MakeFolder(context.data.FilesOfVolume(record.name), record);
  }
  return MakeDisk(absl::StrCat(context.config.daemon.assets_directory, "/disks"),
                  context.data.DiskOfVolume(record.name), uint64_t{record.size_mib} << 20);
}

}  // namespace

absl::Status Volumes::Recover() {
  MSB_ASSIGN_OR_RETURN(const std::vector<VolumeRecord> records, context_.store.LoadVolumes());
  for (const VolumeRecord& record : records) {
    by_name_.insert_or_assign(record.name, record);
    if (record.state == VolumeRecord::State::kReady) continue;
    MSB_LOG(kWarning) << "volume " << record.name << " was half "
                      << (record.state == VolumeRecord::State::kMaking ? "made" : "removed")
                      << "; deleting what there is";
    Delete(record.name, [](const absl::Status&) {});
  }
  return absl::OkStatus();
}

void Volumes::Create(Caller caller, msb::v1::CreateVolumeRequest request, OnVolume done) {
  context_.loop.Post([this, caller = std::move(caller), request = std::move(request),
                      done = std::move(done)] { CreateNow(caller, request, done); });
}

void Volumes::CreateNow(const Caller& caller, const msb::v1::CreateVolumeRequest& request,
                        OnVolume done) {
  VolumeRecord record{.name = request.name(),
                      .kind = request.kind(),
                      .size_mib = request.size_mib(),
                      .owner_uid = caller.uid,
                      .owner_gid = caller.gid,
                      .created_at = absl::Now()};
  if (record.kind == msb::v1::VOLUME_KIND_UNSPECIFIED) record.kind = msb::v1::VOLUME_KIND_DISK;
  if (record.size_mib == 0 && record.kind == msb::v1::VOLUME_KIND_DISK) {
    record.size_mib = context_.config.sandbox.disk_mib;
  }
  absl::Status valid = ValidateVolume(request, record.size_mib, context_.config.limits);
  if (valid.ok() && by_name_.contains(record.name)) {
    valid = MakeError(Reason::kVolumeNameTaken,
                      absl::StrCat("there is a volume '", record.name, "' already"));
  }
  if (valid.ok()) valid = context_.store.PutVolume(record);
  if (!valid.ok()) return done(std::move(valid));
  by_name_.insert_or_assign(record.name, record);
  context_.workers.Run([this, record, done = std::move(done)] {
    absl::Status made = MakeVolumeFiles(context_, record);
    context_.loop.Post(
        [this, name = record.name, made = std::move(made), done] { OnMade(name, made, done); });
  });
}

void Volumes::OnMade(const std::string& name, absl::Status made, const OnVolume& done) {
  VolumeRecord& record = by_name_.at(name);
  if (made.ok()) {
    record.state = VolumeRecord::State::kReady;
    made = context_.store.PutVolume(record);
  }
  if (made.ok()) return done(ViewOf(record));
  Delete(name, [made, done](const absl::Status&) { done(made); });
}

void Volumes::Get(Caller caller, std::string name, OnVolume done) {
  context_.loop.Post(
      [this, caller = std::move(caller), name = std::move(name), done = std::move(done)] {
        const absl::StatusOr<VolumeRecord> record = Find(caller, name);
        if (!record.ok()) return done(record.status());
        done(ViewOf(*record));
      });
}

void Volumes::List(Caller caller, std::function<void(msb::v1::ListVolumesResponse)> done) {
  context_.loop.Post([this, caller = std::move(caller), done = std::move(done)] {
    msb::v1::ListVolumesResponse response;
    for (const auto& [name, record] : by_name_) {
      if (Find(caller, name).ok()) *response.add_volumes() = ViewOf(record);
    }
    done(std::move(response));
  });
}

void Volumes::Remove(Caller caller, std::string name, std::function<void(absl::Status)> done) {
  context_.loop.Post([this, caller = std::move(caller), name = std::move(name),
                      done = std::move(done)] { RemoveNow(caller, name, done); });
}

void Volumes::RemoveNow(const Caller& caller, const std::string& name,
                        std::function<void(absl::Status)> done) {
  const absl::StatusOr<VolumeRecord> record = Find(caller, name);
  if (!record.ok()) return done(record.status());
  if (const std::vector<std::string> users = users_of_(name); !users.empty()) {
    return done(MakeError(
        Reason::kVolumeInUse,
        absl::StrCat("the volume '", name, "' is mounted by ", absl::StrJoin(users, ", "))));
  }
  VolumeRecord& removed = by_name_.at(name);
  removed.state = VolumeRecord::State::kRemoving;
  if (absl::Status status = context_.store.PutVolume(removed); !status.ok()) {
    removed.state = VolumeRecord::State::kReady;
    return done(std::move(status));
  }
  Delete(name, std::move(done));
}

void Volumes::Delete(const std::string& name, std::function<void(absl::Status)> done) {
  context_.workers.Run([this, name, done = std::move(done)] {
    absl::Status removed = RemoveTree(context_.data.OfVolume(name));
    context_.loop.Post([this, name, removed = std::move(removed), done]() mutable {
      if (removed.ok()) removed = context_.store.DeleteVolume(name);
      // Else it stays in the journal, and the next life of the daemon tries again.
      if (removed.ok()) by_name_.erase(name);
      done(std::move(removed));
    });
  });
}

absl::StatusOr<VolumeRecord> Volumes::Find(const Caller& caller, absl::string_view name) const {
  const auto volume = by_name_.find(name);
  if (volume != by_name_.end() && caller.MaySee(volume->second.owner_uid) &&
      volume->second.state == VolumeRecord::State::kReady) {
    return volume->second;
  }
  return MakeError(Reason::kVolumeNotFound,
                   absl::StrCat("there is no volume '", EscapeForLog(name.substr(0, 128)), "'"));
}

msb::v1::Volume Volumes::ViewOf(const VolumeRecord& record) const {
  msb::v1::Volume view;
  view.set_name(record.name);
  view.set_kind(record.kind);
  view.set_size_mib(record.size_mib);
  view.set_owner_uid(record.owner_uid);
  struct stat info {};
  if (::stat(context_.data.DiskOfVolume(record.name).c_str(), &info) == 0) {
    view.set_allocated_bytes(static_cast<uint64_t>(info.st_blocks) * kStatBlockBytes);
  }
  const int64_t ns = absl::ToUnixNanos(record.created_at);
  view.mutable_created_at()->set_seconds(ns / 1'000'000'000);
  view.mutable_created_at()->set_nanos(static_cast<int32_t>(ns % 1'000'000'000));
  for (const std::string& user : users_of_(record.name)) view.add_used_by(user);
  return view;
}

}  // namespace msb
