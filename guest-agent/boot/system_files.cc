// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/system_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/unique_fd.h"
#include "guest-agent/console.h"

namespace msb {
namespace {

// Enough of any /etc/hosts to find the host's own name.
constexpr size_t kMaxReadBytes = 64 * 1024;

std::string ReadSmallFile(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::string text;
  char chunk[4096];
  while (file.valid() && text.size() < kMaxReadBytes) {
    const ssize_t got = ::read(file.get(), chunk, sizeof(chunk));
    if (got <= 0) break;
    text.append(chunk, static_cast<size_t>(got));
  }
  return text;
}

void WriteSmallFile(const std::string& path, const std::string& text, int how) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | how, 0644));
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    WriteConsole(absl::StrCat("write ", path, ": errno ", errno));
  }
}

bool NamesHost(absl::string_view hosts, absl::string_view hostname) {
  for (const absl::string_view line : absl::StrSplit(hosts, '\n')) {
    const absl::string_view content = line.substr(0, line.find('#'));
    for (const absl::string_view word : absl::StrSplit(content, absl::ByAnyChar(" \t"))) {
      if (word == hostname) return true;
    }
  }
  return false;
}

}  // namespace

void MendSystemFiles(const std::string& etc, const BootParameters& parameters) {
  ::mkdir(etc.c_str(), 0755);
  const std::string hosts_path = absl::StrCat(etc, "/hosts");
  const std::string hosts = ReadSmallFile(hosts_path);
  std::string addition;
  if (hosts.empty()) addition = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
  if (!NamesHost(hosts, parameters.hostname)) {
    if (!hosts.empty() && hosts.back() != '\n') addition += "\n";
    absl::StrAppend(&addition, "127.0.1.1 ", parameters.hostname, "\n");
  }
  if (!addition.empty()) WriteSmallFile(hosts_path, addition, O_APPEND);

  const std::string resolv_path = absl::StrCat(etc, "/resolv.conf");
  std::string servers;
  for (const absl::string_view server : absl::StrSplit(parameters.dns, ',', absl::SkipEmpty())) {
    absl::StrAppend(&servers, "nameserver ", server, "\n");
  }
  // A symlink that leads nowhere (an image made for systemd-resolved) is as good as no file.
  if (servers.empty() && ::access(resolv_path.c_str(), F_OK) == 0) return;
  if (servers.empty()) servers = "# no name server\n";
  struct stat info {};
  const bool regular = ::lstat(resolv_path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
  // A sandbox that starts again has it already.
  if (regular && ReadSmallFile(resolv_path) == servers) return;
  if (!regular) ::unlink(resolv_path.c_str());
  WriteSmallFile(resolv_path, servers, O_TRUNC);
}

void SetHostname(const BootParameters& parameters) {
  if (::sethostname(parameters.hostname.data(), parameters.hostname.size()) != 0) {
    WriteConsole(absl::StrCat("set the host name: errno ", errno));
  }
}

void SetKernelSettings() {
  const std::pair<const char*, const char*> settings[] = {
      // ping without privilege, as distributions have it.
      {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
      // Editors and bundlers watch whole trees; the kernel's default is made for small memory.
      {"/proc/sys/fs/inotify/max_user_watches", "524288"},
  };
  for (const auto& [path, value] : settings) {
    const UniqueFd file(::open(path, O_WRONLY | O_CLOEXEC));
    if (::write(file.get(), value, std::char_traits<char>::length(value)) < 0) {
      WriteConsole(absl::StrCat("write ", path, ": errno ", errno));
    }
  }
}

}  // namespace msb
