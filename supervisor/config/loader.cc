// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0

#include "supervisor/config/loader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "supervisor/config/settings.h"
#include "supervisor/config/spelling.h"

namespace msb {
namespace {

constexpr off_t kMaxConfigBytes = 1 << 20;

std::string View(std::string_view text) { return std::string(text); }

// Reads one table of a file into a Config and collects what is wrong with it.
class TomlReader {
 public:
  TomlReader(absl::string_view file, Config& config) : file_(file), config_(config) {}

  void ReadFile(const toml::table& root) {
    for (const auto& [key, node] : root) {
      const std::string section = View(key.str());
      if (!IsSection(section)) {
        Complain(key.source(), section, UnknownWord("section", section, Sections()));
      } else if (const toml::table* table = node.as_table()) {
        ReadSection(section, *table);
      } else {
        Complain(key.source(), section, absl::StrCat("is a section: write [", section, "]"));
      }
    }
  }

  absl::Status Outcome() const {
    if (mistakes_.empty()) return absl::OkStatus();
    std::vector<std::string> lines;
    for (const auto& [line, text] : mistakes_) lines.push_back(text);
    return MakeError(Reason::kConfigInvalid, absl::StrJoin(lines, "\n"));
  }

 private:
  static std::vector<absl::string_view> Sections() {
    std::vector<absl::string_view> sections;
    for (const Setting& setting : AllSettings()) {
      if (sections.empty() || sections.back() != setting.section) {
        sections.push_back(setting.section);
      }
    }
    return sections;
  }

  static bool IsSection(absl::string_view name) {
    const auto sections = Sections();
    return std::find(sections.begin(), sections.end(), name) != sections.end();
  }

  static std::vector<absl::string_view> KeysOf(absl::string_view section) {
    std::vector<absl::string_view> keys;
    for (const Setting& setting : AllSettings()) {
      if (setting.section == section) keys.push_back(setting.key);
    }
    return keys;
  }

  static std::string UnknownWord(absl::string_view what, absl::string_view word,
                                 const std::vector<absl::string_view>& known) {
    if (const auto nearest = NearestWord(word, known)) {
      return absl::StrCat("unknown ", what, "; did you mean '", *nearest, "'?");
    }
    return absl::StrCat("unknown ", what, "; known are ", absl::StrJoin(known, ", "));
  }

  // A key that another section has is a likelier mistake than a misspelt one.
  static std::string UnknownKey(absl::string_view section, absl::string_view key) {
    for (const Setting& setting : AllSettings()) {
      if (setting.key == key) {
        return absl::StrCat("unknown key; did you mean '", setting.section, ".", key, "'?");
      }
    }
    return UnknownWord("key", key, KeysOf(section));
  }

  void ReadSection(const std::string& section, const toml::table& table) {
    for (const auto& [key, node] : table) {
      const std::string name = View(key.str());
      const std::string path = absl::StrCat(section, ".", name);
      const Setting* setting = FindSetting(section, name);
      if (setting == nullptr) {
        Complain(key.source(), path, UnknownKey(section, name));
        continue;
      }
      const std::optional<SettingValue> value = ValueOf(node);
      const absl::Status status =
          value ? ApplySetting(*setting, *value, config_)
                : MakeError(Reason::kConfigInvalid, absl::StrCat("must be ", RangeOf(*setting)));
      if (!status.ok()) Complain(node.source(), path, absl::StrCat("must be ", RangeOf(*setting)));
    }
  }

  static std::optional<SettingValue> ValueOf(const toml::node& node) {
    if (const auto* text = node.as_string()) return SettingValue(text->get());
    if (const auto* number = node.as_integer()) return SettingValue(number->get());
    const auto* array = node.as_array();
    if (array == nullptr) return std::nullopt;
    std::vector<std::string> list;
    for (const toml::node& item : *array) {
      if (!item.is_string()) return std::nullopt;
      list.push_back(item.as_string()->get());
    }
    return SettingValue(std::move(list));
  }

  void Complain(const toml::source_region& where, absl::string_view key, absl::string_view what) {
    mistakes_.emplace(where.begin.line,
                      absl::StrCat(file_, ":", where.begin.line, ": ", key, ": ", what));
  }

  const std::string file_;
  Config& config_;
  std::set<std::pair<toml::source_index, std::string>> mistakes_;  // in the order of the lines
};

absl::StatusOr<std::optional<std::string>> ReadConfigFile(const std::string& path) {
  auto opened = Syscall(absl::StrCat("open ", path),
                        [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); });
  if (absl::IsNotFound(opened.status())) return std::nullopt;
  if (!opened.ok()) return WithReason(Reason::kConfigInvalid, "configuration", opened.status());
  const UniqueFd fd(*opened);
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall("fstat", [&] { return ::fstat(fd.get(), &info); }));
  if (!S_ISREG(info.st_mode) || info.st_size > kMaxConfigBytes) {
    return MakeError(Reason::kConfigInvalid, absl::StrCat(path, ": not a file of at most 1 MiB"));
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall(absl::StrCat("read ", path), [&] {
                         return ::read(fd.get(), text.data(), text.size());
                       }));
  text.resize(static_cast<size_t>(got));
  return text;
}

void SetIfEmpty(std::string& path, absl::string_view directory, absl::string_view name) {
  if (path.empty()) path = absl::StrCat(directory, "/", name);
}

absl::Status CheckLimit(absl::string_view key, uint32_t value, absl::string_view limit,
                        uint32_t max) {
  if (value <= max) return absl::OkStatus();
  return MakeError(Reason::kConfigInvalid,
                   absl::StrCat(key, " = ", value, " is more than ", limit, " = ", max));
}

absl::Status FinishConfig(Config& config) {
  DaemonConfig& daemon = config.daemon;
  SetIfEmpty(daemon.socket, daemon.runtime_directory, "msbd.sock");
  SetIfEmpty(daemon.vmm, daemon.libexec_directory, "msb-vmm");
  SetIfEmpty(daemon.jailer, daemon.libexec_directory, "msb-jailer");
  SetIfEmpty(daemon.net, daemon.libexec_directory, "msb-net");
  SetIfEmpty(daemon.image, daemon.libexec_directory, "msb-image");
  SetIfEmpty(daemon.fs, daemon.libexec_directory, "msb-fs");
  SetIfEmpty(daemon.secrets, daemon.libexec_directory, "msb-secrets");
  const SandboxDefaults& sandbox = config.sandbox;
  const LimitsConfig& limits = config.limits;
  MSB_RETURN_IF_ERROR(
      CheckLimit("sandbox.vcpus", sandbox.vcpus, "limits.max_vcpus", limits.max_vcpus));
  MSB_RETURN_IF_ERROR(CheckLimit("sandbox.memory_mib", sandbox.memory_mib, "limits.max_memory_mib",
                                 limits.max_memory_mib));
  MSB_RETURN_IF_ERROR(
      CheckLimit("sandbox.disk_mib", sandbox.disk_mib, "limits.max_disk_mib", limits.max_disk_mib));
  return CheckLimit("limits.exec_ring_kib", limits.exec_ring_kib, "limits.max_exec_ring_kib",
                    limits.max_exec_ring_kib);
}

}  // namespace

absl::Status ApplyToml(absl::string_view text, absl::string_view file, Config& config) {
  const toml::parse_result parsed = toml::parse(std::string_view(text.data(), text.size()));
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return MakeError(Reason::kConfigInvalid,
                     absl::StrCat(std::string(file), ":", error.source().begin.line, ": ",
                                  View(error.description())));
  }
  TomlReader reader(file, config);
  reader.ReadFile(parsed.table());
  return reader.Outcome();
}

absl::StatusOr<Config> LoadConfig(const std::vector<std::string>& files, MissingFile missing) {
  Config config = DefaultConfig();
  for (const std::string& file : files) {
    MSB_ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadConfigFile(file));
    if (text) {
      MSB_RETURN_IF_ERROR(ApplyToml(*text, file, config));
    } else if (missing == MissingFile::kError) {
      return MakeError(Reason::kConfigInvalid, absl::StrCat("there is no file ", file));
    }
  }
  MSB_RETURN_IF_ERROR(FinishConfig(config));
  return config;
}

std::vector<std::string> StandardConfigFiles() {
  std::vector<std::string> files = {"/etc/microsandbox/config.toml"};
  const char* const config_home = std::getenv("XDG_CONFIG_HOME");
  const char* const home = std::getenv("HOME");
  if (config_home != nullptr && config_home[0] == '/') {
    files.push_back(absl::StrCat(config_home, "/microsandbox/config.toml"));
  } else if (home != nullptr && home[0] == '/') {
    files.push_back(absl::StrCat(home, "/.config/microsandbox/config.toml"));
  }
  return files;
}

}  // namespace msb
