// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/guest_stats.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

// "MemTotal:  131072 kB" of /proc/meminfo, in bytes.
uint64_t MemoryField(absl::string_view meminfo, absl::string_view name) {
  const size_t at = meminfo.find(name);
  if (at == absl::string_view::npos) return 0;
  absl::string_view rest = absl::StripLeadingAsciiWhitespace(meminfo.substr(at + name.size()));
  uint64_t kibibytes = 0;
  if (!absl::SimpleAtoi(rest.substr(0, rest.find(' ')), &kibibytes)) return 0;
  return kibibytes * 1024;
}

uint32_t CountProcesses() {
  DIR* const proc = ::opendir("/proc");
  if (proc == nullptr) return 0;
  uint32_t count = 0;
  while (const dirent* entry = ::readdir(proc)) {
    if (absl::ascii_isdigit(static_cast<unsigned char>(entry->d_name[0]))) ++count;
  }
  ::closedir(proc);
  return count;
}

}  // namespace

agent::v1::GuestStats CollectGuestStats() {
  agent::v1::GuestStats stats;
  char text[4096];
  const UniqueFd meminfo(::open("/proc/meminfo", O_RDONLY | O_CLOEXEC));
  const ssize_t got = ::read(meminfo.get(), text, sizeof(text));
  if (got > 0) {
    const absl::string_view fields(text, static_cast<size_t>(got));
    stats.set_memory_total_bytes(MemoryField(fields, "MemTotal:"));
    stats.set_memory_available_bytes(MemoryField(fields, "MemAvailable:"));
  }
  struct statvfs disk {};
  if (::statvfs("/", &disk) == 0) {
    stats.set_disk_total_bytes(disk.f_blocks * disk.f_frsize);
    stats.set_disk_free_bytes(disk.f_bavail * disk.f_frsize);
  }
  stats.set_processes(CountProcesses());
  timespec uptime{};
  ::clock_gettime(CLOCK_BOOTTIME, &uptime);
  stats.set_uptime_ns(static_cast<uint64_t>(uptime.tv_sec) * 1'000'000'000 +
                      static_cast<uint64_t>(uptime.tv_nsec));
  return stats;
}

absl::Status SetRealtimeClock(uint64_t nanoseconds) {
  const timespec time{.tv_sec = static_cast<time_t>(nanoseconds / 1'000'000'000),
                      .tv_nsec = static_cast<long>(nanoseconds % 1'000'000'000)};
  if (::clock_settime(CLOCK_REALTIME, &time) != 0) {
    return ErrnoError(Reason::kInvalidArgument, "set the guest's clock", errno);
  }
  return absl::OkStatus();
}

}  // namespace msb
