// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/diagnosis.h"

#include <grp.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "supervisor/launch/cgroup_layout.h"
#include "supervisor/sandbox/image_config.h"

namespace msb {
namespace {

using msb::v1::Check;

// Below this a few sandboxes fill the disk.
constexpr uint64_t kLittleDiskBytes = uint64_t{2} << 30;

Check MakeCheck(absl::string_view name, Check::Result result, std::string finding,
                std::string remedy = "") {
  Check check;
  check.set_name(std::string(name));
  check.set_result(result);
  check.set_finding(std::move(finding));
  check.set_remedy(std::move(remedy));
  return check;
}

Check CheckPrivilege() {
  if (::geteuid() == 0) return MakeCheck("privilege", Check::RESULT_OK, "the daemon is root");
  return MakeCheck("privilege", Check::RESULT_FAILED,
                   absl::StrCat("the daemon runs as user id ", ::geteuid()),
                   "run msbd as root: it makes namespaces, cgroups and users for each sandbox");
}

Check CheckKvm(const EngineFacts& engines) {
  switch (engines.kvm.state) {
    case KvmState::kHardware:
      return MakeCheck("kvm", Check::RESULT_OK, engines.kvm.detail);
    case KvmState::kEmulated:
      return MakeCheck("kvm", Check::RESULT_WARNING, engines.kvm.detail,
                       "works, but slowly: enable hardware or nested virtualisation for speed");
    default:
      return MakeCheck("kvm", Check::RESULT_WARNING, engines.kvm.detail,
                       "load the kvm module and see that /dev/kvm is there; engine qemu works "
                       "without it");
  }
}

Check CheckEngine(const EngineFacts& engines) {
  const auto choice = ChooseEngine(engines, EnginePreference::kAuto);
  if (choice.ok()) return MakeCheck("engine", Check::RESULT_OK, choice->explanation);
  return MakeCheck("engine", Check::RESULT_FAILED, std::string(choice.status().message()),
                   "make KVM usable, or build the QEMU folder with deploy/qemu/build-closure.sh");
}

Check CheckQemu(const EngineFacts& engines) {
  if (engines.qemu_problem.empty()) return MakeCheck("qemu", Check::RESULT_OK, "can run here");
  return MakeCheck("qemu", Check::RESULT_WARNING, engines.qemu_problem,
                   "only needed on hosts without hardware virtualisation");
}

Check CheckCgroups() {
  const auto layout = DetectCgroupLayout();
  if (!layout.ok()) {
    return MakeCheck("cgroup", Check::RESULT_FAILED, std::string(layout.status().message()),
                     "mount a cgroup hierarchy with memory, cpu and pids");
  }
  const std::string missing = layout->MissingControllers();
  if (!missing.empty()) {
    return MakeCheck("cgroup", Check::RESULT_FAILED, absl::StrCat("no controller ", missing),
                     "mount it, or enable it in cgroup.subtree_control");
  }
  const CgroupHierarchy* memory = layout->WithController("memory");
  return MakeCheck(
      "cgroup", Check::RESULT_OK,
      absl::StrCat("memory, cpu and pids are there, ",
                   memory->version == CgroupVersion::kV2 ? "v2" : "v1", " at ", memory->mount));
}

Check CheckFile(absl::string_view name, const std::string& path, int mode, std::string remedy) {
  if (::access(path.c_str(), mode) == 0) return MakeCheck(name, Check::RESULT_OK, path);
  return MakeCheck(name, Check::RESULT_FAILED, absl::StrCat(path, ": ", std::strerror(errno)),
                   std::move(remedy));
}

// All that the daemon starts.
void CheckPrograms(const Config& config, const std::function<void(Check)>& report) {
  const struct {
    const char* name;
    const std::string& path;
    const char* what_works;  // without it
  } programs[] = {
      {"vmm", config.daemon.vmm, "no sandbox starts"},
      {"jailer", config.daemon.jailer, "no sandbox starts"},
      {"net", config.daemon.net, "sandboxes with --network none work"},
      {"secrets", config.daemon.secrets, "sandboxes without secrets work"},
      {"fs", config.daemon.fs, "sandboxes without mounts work"},
      {"image", config.daemon.image, "built-in images work"},
  };
  for (const auto& program : programs) {
    report(CheckFile(program.name, program.path, X_OK,
                     absl::StrCat("set daemon.", program.name, ", or install microsandbox; ",
                                  program.what_works, " without it")));
  }
}

Check CheckImages(const Config& config) {
  const auto images = ListImages(config.daemon.assets_directory);
  if (!images.ok()) {
    return MakeCheck("images", Check::RESULT_FAILED, std::string(images.status().message()),
                     "deploy/guest.sh builds them");
  }
  std::string names = absl::StrJoin(
      *images, ", ", [](std::string* out, const ImageConfig& image) { out->append(image.name); });
  for (const ImageConfig& image : *images) {
    if (image.name == config.sandbox.image) {
      return MakeCheck("images", Check::RESULT_OK, std::move(names));
    }
  }
  return MakeCheck(
      "images", Check::RESULT_FAILED,
      absl::StrCat("the default image ", config.sandbox.image, " is not among: ", names),
      "deploy/guest.sh builds it; or set sandbox.image");
}

Check CheckDisk(const Config& config) {
  struct statvfs info {};
  const std::string& path = config.daemon.data_directory;
  if (::statvfs(path.c_str(), &info) != 0) {
    return MakeCheck("disk", Check::RESULT_FAILED, absl::StrCat(path, ": ", std::strerror(errno)));
  }
  const uint64_t free_bytes = uint64_t{info.f_bavail} * info.f_frsize;
  const std::string finding = absl::StrCat(free_bytes >> 20, " MiB free in ", path);
  if (free_bytes >= kLittleDiskBytes) return MakeCheck("disk", Check::RESULT_OK, finding);
  return MakeCheck("disk", Check::RESULT_WARNING, finding, "a full disk stops every sandbox");
}

Check CheckImageStore(const Config& config, const Images& images) {
  const uint64_t used_mib = images.content().UsedBytes() >> 20;
  const uint32_t limit_mib = config.images.store_mib;
  const std::string finding =
      absl::StrCat(used_mib, " MiB in ", images.content().path(),
                   limit_mib == 0 ? "" : absl::StrCat(", limit ", limit_mib, " MiB"));
  if (limit_mib == 0 || used_mib < limit_mib / 10 * 9) {
    return MakeCheck("image-store", Check::RESULT_OK, finding);
  }
  return MakeCheck("image-store", Check::RESULT_WARNING, finding,
                   "msbctl image prune, or raise images.store_mib");
}

Check CheckSnapshots(const Config& config, const BootSnapshots& snapshots) {
  if (config.boot_snapshots.max_count == 0) {
    return MakeCheck("boot-snapshots", Check::RESULT_OK, "off: every start boots its kernel");
  }
  const std::vector<std::string> kept = snapshots.List();
  return MakeCheck("boot-snapshots", Check::RESULT_OK,
                   kept.empty() ? "none yet: the first start of each kind of machine makes one"
                                : absl::StrJoin(kept, ", "));
}

Check CheckGroup(const Config& config) {
  const std::string& group = config.daemon.socket_group;
  if (group.empty()) {
    return MakeCheck("group", Check::RESULT_OK, "only root uses this daemon");
  }
  if (::getgrnam(group.c_str()) != nullptr) {
    return MakeCheck("group", Check::RESULT_OK, absl::StrCat("members of ", group, " are served"));
  }
  return MakeCheck("group", Check::RESULT_WARNING, absl::StrCat("there is no group ", group),
                   absl::StrCat("sudo groupadd --system ", group));
}

}  // namespace

void Diagnose(const Config& config, const EngineFacts& engines, const Images& images,
              const BootSnapshots& snapshots, const std::function<void(Check)>& report) {
  const std::string& assets = config.daemon.assets_directory;
  report(CheckPrivilege());
  report(CheckKvm(engines));
  report(CheckQemu(engines));
  report(CheckEngine(engines));
  report(CheckCgroups());
  CheckPrograms(config, report);
  for (const char* asset : {"vmlinux", "initramfs.cpio", "disks"}) {
    report(CheckFile("asset", absl::StrCat(assets, "/", asset), R_OK,
                     "deploy/guest.sh builds it; or set daemon.assets_directory"));
  }
  report(CheckImages(config));
  report(CheckDisk(config));
  report(CheckImageStore(config, images));
  report(CheckSnapshots(config, snapshots));
  report(CheckGroup(config));
}

}  // namespace msb
