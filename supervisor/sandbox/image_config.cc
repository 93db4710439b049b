// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/image_config.h"

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/sandbox/validate.h"

namespace msb {
namespace {

using Json = rapidjson::Value;

constexpr size_t kMaxImageJsonBytes = 256 * 1024;
// The parser recurses on the stack of the calling thread unless it is told not to.
constexpr unsigned kParseFlags = rapidjson::kParseIterativeFlag;

// SIGRTMIN and SIGRTMAX of a guest's programs.
constexpr int kFirstRealTimeSignal = 34;
constexpr int kLastSignal = 64;

// Names that Docker takes beside those of the C library.
struct SignalName {
  absl::string_view name;
  int number;
};
constexpr SignalName kSignalAliases[] = {{"CLD", SIGCHLD}, {"IO", SIGIO}, {"IOT", SIGIOT}};

absl::Status Invalid(absl::string_view what) {
  return MakeError(Reason::kImageInvalid, absl::StrCat("image.json: ", what));
}

std::string ToString(const Json& json) {
  return std::string(json.GetString(), json.GetStringLength());
}

absl::Status ReadString(const Json& object, const char* key, std::string& out) {
  const auto member = object.FindMember(key);
  if (member == object.MemberEnd() || member->value.IsNull()) return absl::OkStatus();
  if (!member->value.IsString()) return Invalid(absl::StrCat(key, " is no string"));
  out = ToString(member->value);
  return absl::OkStatus();
}

absl::Status ReadStrings(const Json& object, const char* key, std::vector<std::string>& out) {
  const auto member = object.FindMember(key);
  if (member == object.MemberEnd() || member->value.IsNull()) return absl::OkStatus();
  if (!member->value.IsArray()) return Invalid(absl::StrCat(key, " is no list"));
  for (const Json& item : member->value.GetArray()) {
    if (!item.IsString()) return Invalid(absl::StrCat(key, " has an item that is no string"));
    out.push_back(ToString(item));
  }
  return absl::OkStatus();
}

absl::Status ReadEnv(const Json& object, std::map<std::string, std::string>& out) {
  const auto member = object.FindMember("env");
  if (member == object.MemberEnd() || member->value.IsNull()) return absl::OkStatus();
  if (member->value.IsObject()) {
    for (const auto& variable : member->value.GetObject()) {
      if (!variable.value.IsString()) return Invalid("a variable of env is no string");
      out[ToString(variable.name)] = ToString(variable.value);
    }
    return absl::OkStatus();
  }
  std::vector<std::string> list;
  MSB_RETURN_IF_ERROR(ReadStrings(object, "env", list));
  for (const std::string& variable : list) {
    const size_t equals = variable.find('=');
    if (equals == std::string::npos) return Invalid("a variable of env has no '='");
    out[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  return absl::OkStatus();
}

// From "" or `sign` and a number. nullopt for what leads out of the real-time signals.
std::optional<int> RealTimeOffset(absl::string_view text, absl::string_view sign) {
  int offset = 0;
  if (text.empty()) return offset;
  if (!absl::ConsumePrefix(&text, sign) || !absl::SimpleAtoi(text, &offset)) return std::nullopt;
  if (offset < 0 || offset > kLastSignal - kFirstRealTimeSignal) return std::nullopt;
  return offset;
}

// Without "SIG", in capitals. 0 when there is none.
int SignalOfName(absl::string_view name) {
  for (const SignalName& alias : kSignalAliases) {
    if (name == alias.name) return alias.number;
  }
  if (absl::ConsumePrefix(&name, "RTMIN")) {
    const std::optional<int> offset = RealTimeOffset(name, "+");
    return offset ? kFirstRealTimeSignal + *offset : 0;
  }
  if (absl::ConsumePrefix(&name, "RTMAX")) {
    const std::optional<int> offset = RealTimeOffset(name, "-");
    return offset ? kLastSignal - *offset : 0;
  }
  for (int signal = 1; signal < kFirstRealTimeSignal; ++signal) {
    const char* const known = ::sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return 0;
}

// From names in the image's folder to paths.
absl::Status FindLayers(const std::string& folder, ImageConfig& config) {
  if (config.layers.empty()) config.layers = {"rootfs.erofs"};
  for (std::string& layer : config.layers) {
    const std::string path = absl::StrCat(folder, "/", layer);
    struct stat info {};
    if (absl::StrContains(layer, '/') || ::stat(path.c_str(), &info) != 0 ||
        !S_ISREG(info.st_mode)) {
      return MakeError(Reason::kImageInvalid,
                       absl::StrCat("image '", config.name, "' has no file ", EscapeForLog(layer)));
    }
    config.size_bytes += static_cast<uint64_t>(info.st_size);
    layer = path;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImageConfig> ParseImageConfig(absl::string_view json) {
  rapidjson::Document document;
  document.Parse<kParseFlags>(json.data(), json.size());
  if (document.HasParseError()) {
    return Invalid(absl::StrCat(rapidjson::GetParseError_En(document.GetParseError()), " (byte ",
                                document.GetErrorOffset(), ")"));
  }
  if (!document.IsObject()) return Invalid("not an object");
  ImageConfig config;
  MSB_RETURN_IF_ERROR(ReadEnv(document, config.env));
  MSB_RETURN_IF_ERROR(ReadStrings(document, "entrypoint", config.entrypoint));
  MSB_RETURN_IF_ERROR(ReadStrings(document, "cmd", config.cmd));
  MSB_RETURN_IF_ERROR(ReadString(document, "user", config.user));
  MSB_RETURN_IF_ERROR(ReadString(document, "workdir", config.workdir));
  MSB_RETURN_IF_ERROR(ReadString(document, "digest", config.digest));
  MSB_RETURN_IF_ERROR(ReadStrings(document, "layers", config.layers));
  for (const auto& [name, value] : config.env) {
    if (const absl::Status status = ValidateEnvVariable(name, value); !status.ok()) {
      return Invalid(status.message());
    }
  }
  return config;
}

absl::StatusOr<int> ParseStopSignal(absl::string_view text) {
  if (text.empty()) return 0;
  std::string name = absl::AsciiStrToUpper(text);
  if (absl::StartsWith(name, "SIG")) name.erase(0, 3);
  int number = 0;
  if (absl::SimpleAtoi(name, &number)) {
    if (number >= 1 && number <= kLastSignal) return number;
  } else if (const int known = SignalOfName(name); known != 0) {
    return known;
  }
  return MakeError(Reason::kImageInvalid,
                   absl::StrCat("the image's stop signal '", EscapeForLog(text.substr(0, 64)),
                                "' is no signal; its configuration has to name one such as SIGTERM "
                                "or a number from 1 to ",
                                kLastSignal));
}

absl::StatusOr<ImageConfig> LoadImage(const std::string& assets_directory, absl::string_view name) {
  MSB_RETURN_IF_ERROR(ValidateImageName(name));
  const std::string folder = absl::StrCat(assets_directory, "/images/", name);
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) {
    return MakeError(Reason::kImageNotFound, absl::StrCat("there is no image '", name, "'"));
  }
  std::ifstream file(folder + "/image.json", std::ios::binary);
  std::string json(kMaxImageJsonBytes + 1, '\0');
  file.read(json.data(), static_cast<std::streamsize>(json.size()));
  json.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  if (json.empty() || json.size() > kMaxImageJsonBytes) {
    return MakeError(Reason::kImageInvalid,
                     absl::StrCat("image '", name, "' has no image.json of at most 256 KiB"));
  }
  MSB_ASSIGN_OR_RETURN(ImageConfig config, ParseImageConfig(json));
  config.name = std::string(name);
  MSB_RETURN_IF_ERROR(FindLayers(folder, config));
  return config;
}

bool IsBuiltInImage(const std::string& assets_directory, absl::string_view name) {
  struct stat info {};
  const std::string folder = absl::StrCat(assets_directory, "/images/", name);
  return ::stat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

absl::StatusOr<std::vector<ImageConfig>> ListImages(const std::string& assets_directory) {
  std::vector<ImageConfig> images;
  std::error_code error;
  for (std::filesystem::directory_iterator it(assets_directory + "/images", error), end;
       !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    absl::StatusOr<ImageConfig> image = LoadImage(assets_directory, name);
    if (image.ok()) {
      images.push_back(*std::move(image));
    } else {
      MSB_LOG(kWarning) << "image " << EscapeForLog(name) << ": " << image.status().message();
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return MakeError(Reason::kHostError, absl::StrCat("cannot list the images: ", error.message()));
  }
  std::sort(images.begin(), images.end(),
            [](const ImageConfig& a, const ImageConfig& b) { return a.name < b.name; });
  return images;
}

}  // namespace msb
