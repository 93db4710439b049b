// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The table of all settings: what each is called, holds, defaults to and means.

#ifndef MSB_SUPERVISOR_CONFIG_SETTINGS_H_
#define MSB_SUPERVISOR_CONFIG_SETTINGS_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "supervisor/config/config.h"

namespace msb {

// A value as a file has it: TOML's strings, integers and lists of strings are all that is needed.
using SettingValue = std::variant<std::string, int64_t, std::vector<std::string>>;

struct TextSetting {
  std::string& (*field)(Config&);
  bool may_be_empty = false;
};
struct PathSetting {  // absolute
  std::string& (*field)(Config&);
};
struct ChoiceSetting {
  std::string& (*field)(Config&);
  std::vector<absl::string_view> choices;
};
struct ListSetting {  // of strings
  std::vector<std::string>& (*field)(Config&);
  absl::string_view item;  // what each is
  // Whether a word is one.
  bool (*accepts)(absl::string_view word);
};
struct NumberSetting {
  uint32_t& (*field)(Config&);
  uint32_t min = 0;
  uint32_t max = 0;
};
// A string such as "90s", "5m", "1h30m"; "0" where `min` is zero.
struct DurationSetting {
  absl::Duration& (*field)(Config&);
  absl::Duration min;
  absl::Duration max;
};

struct Setting {
  absl::string_view section;
  absl::string_view key;
  SettingValue default_value;
  std::variant<TextSetting, PathSetting, ChoiceSetting, ListSetting, NumberSetting, DurationSetting>
      kind;
  absl::string_view meaning;
};

// In the order of the documentation.
absl::Span<const Setting> AllSettings();

// nullptr when there is none.
const Setting* FindSetting(absl::string_view section, absl::string_view key);

// kConfigInvalid with what is wrong with the value (not with where it stands).
absl::Status ApplySetting(const Setting& setting, const SettingValue& value, Config& config);

// "a whole number, 1 to 32".
std::string RangeOf(const Setting& setting);

// Every default, before any file. Paths that follow from another setting are still empty.
Config DefaultConfig();

// Every setting of `config` as a configuration file.
std::string PrintSettings(const Config& config);

// docs/configuration.md.
std::string DescribeSettings();

}  // namespace msb

#endif  // MSB_SUPERVISOR_CONFIG_SETTINGS_H_
