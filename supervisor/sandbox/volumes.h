// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// All volumes of the daemon: storage with a name, which outlives the sandboxes that mount it.

#ifndef MSB_SUPERVISOR_SANDBOX_VOLUMES_H_
#define MSB_SUPERVISOR_SANDBOX_VOLUMES_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "msb/v1/volume.pb.h"
#include "supervisor/sandbox/caller.h"
#include "supervisor/sandbox/context.h"

namespace msb {

// Threading: as Registry. A volume is journalled before its files are made, and its row goes last.
class Volumes {
 public:
  using OnVolume = std::function<void(absl::StatusOr<msb::v1::Volume>)>;
  // Names of the sandboxes that mount a volume.
  using UsersOf = std::function<std::vector<std::string>(absl::string_view name)>;

  Volumes(const SandboxContext& context, UsersOf users_of)
      : context_(context), users_of_(std::move(users_of)) {}

  // Reads the journal, and ends what an earlier life of the daemon left half done.
  absl::Status Recover();

  // kVolumeNameTaken, kInvalidName, kInvalidResources.
  void Create(Caller caller, msb::v1::CreateVolumeRequest request, OnVolume done);
  void Get(Caller caller, std::string name, OnVolume done);
  void List(Caller caller, std::function<void(msb::v1::ListVolumesResponse)> done);
  // kVolumeInUse.
  void Remove(Caller caller, std::string name, std::function<void(absl::Status)> done);

  // On the loop: one that `caller` may use, else kVolumeNotFound.
  absl::StatusOr<VolumeRecord> Find(const Caller& caller, absl::string_view name) const;

 private:
  void CreateNow(const Caller& caller, const msb::v1::CreateVolumeRequest& request, OnVolume done);
  void OnMade(const std::string& name, absl::Status made, const OnVolume& done);
  void RemoveNow(const Caller& caller, const std::string& name,
                 std::function<void(absl::Status)> done);
  void Delete(const std::string& name, std::function<void(absl::Status)> done);
  msb::v1::Volume ViewOf(const VolumeRecord& record) const;

  const SandboxContext& context_;
  const UsersOf users_of_;
  std::map<std::string, VolumeRecord, std::less<>> by_name_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_VOLUMES_H_
