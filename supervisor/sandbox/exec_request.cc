// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/exec_request.h"

#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "supervisor/sandbox/validate.h"

namespace msb {
namespace {

constexpr size_t kMaxArguments = 4096;
// argv and environment together. The guest's kernel takes a quarter of its stack limit, 2 MiB; the
// message with all of it has to fit a frame.
constexpr size_t kMaxArgumentBytes = 768 * 1024;
constexpr size_t kMaxExecIdBytes = 64;
constexpr uint32_t kMaxTerminalSide = 10'000;
constexpr int32_t kMaxSignal = 64;
constexpr uint32_t kMinRingBytes = 4096;

struct LimitName {
  absl::string_view name;
  int resource;
};
constexpr LimitName kLimitNames[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK}};

absl::Status Invalid(absl::string_view what) { return MakeError(Reason::kInvalidArgument, what); }

absl::Status CheckArguments(const std::vector<std::string>& argv) {
  if (argv.empty() || argv[0].empty()) return Invalid("argv names no command");
  if (argv.size() > kMaxArguments) {
    return Invalid(absl::StrCat("argv has ", argv.size(), " items; at most ", kMaxArguments));
  }
  for (const std::string& argument : argv) {
    if (argument.find('\0') != std::string::npos) return Invalid("an argument has a NUL");
  }
  return absl::OkStatus();
}

// What `docker run` would start.
std::vector<std::string> CommandOf(const ImageConfig& image) {
  std::vector<std::string> argv = image.entrypoint;
  argv.insert(argv.end(), image.cmd.begin(), image.cmd.end());
  return argv;
}

absl::Status CheckBytes(const msb::agent::v1::Exec& exec) {
  const size_t bytes = exec.ByteSizeLong();
  if (bytes <= kMaxArgumentBytes) return absl::OkStatus();
  return Invalid(absl::StrCat("arguments and environment have ", bytes, " bytes; at most ",
                              kMaxArgumentBytes, " are taken"));
}

std::string LowerName(absl::string_view name) {
  std::string lower = absl::AsciiStrToLower(name);
  if (lower.rfind("rlimit_", 0) == 0) lower.erase(0, 7);
  return lower;
}

absl::Status AddLimit(const ExecLimit& limit, msb::agent::v1::Exec& exec) {
  const std::string name = LowerName(limit.name);
  const auto* const known =
      std::find_if(std::begin(kLimitNames), std::end(kLimitNames),
                   [&](const LimitName& candidate) { return candidate.name == name; });
  if (known == std::end(kLimitNames)) {
    return Invalid(absl::StrCat("there is no resource limit '", EscapeForLog(limit.name), "'"));
  }
  if (limit.soft > limit.hard) {
    return Invalid(
        absl::StrCat("the limit ", name, ": soft ", limit.soft, " is above hard ", limit.hard));
  }
  auto& out = *exec.add_rlimits();
  out.set_resource(known->resource);
  out.set_soft(limit.soft);
  out.set_hard(limit.hard);
  return absl::OkStatus();
}

void AddEnv(const std::map<std::string, std::string>& env, msb::agent::v1::Exec& exec) {
  for (const auto& [name, value] : env) {
    auto& variable = *exec.add_env();
    variable.set_name(name);
    variable.set_value(value);
  }
}

absl::StatusOr<uint32_t> RingBytes(uint32_t asked, const LimitsConfig& limits) {
  if (asked == 0) return limits.exec_ring_kib * 1024;
  const uint32_t max = limits.max_exec_ring_kib * 1024;
  if (asked >= kMinRingBytes && asked <= max) return asked;
  return Invalid(
      absl::StrCat("output_ring_bytes is ", asked, "; allowed are ", kMinRingBytes, " to ", max));
}

absl::StatusOr<uint64_t> TimeoutMs(const ExecSpec& spec, const msb::v1::SandboxSpec& sandbox) {
  absl::Duration timeout;
  if (spec.timeout) {
    timeout = *spec.timeout;
  } else {
    MSB_ASSIGN_OR_RETURN(timeout,
                         DurationFromProto(sandbox.limits().exec_timeout(), "exec_timeout"));
  }
  // Rounded up: a limit that is set is never none.
  return static_cast<uint64_t>(
      absl::ToInt64Milliseconds(absl::Ceil(timeout, absl::Milliseconds(1))));
}

}  // namespace

absl::Status ValidateTerminalSize(const TerminalSize& size) {
  if (size.rows <= kMaxTerminalSide && size.columns <= kMaxTerminalSide) return absl::OkStatus();
  return Invalid(absl::StrCat("a terminal of ", size.rows, " x ", size.columns, "; at most ",
                              kMaxTerminalSide, " each"));
}

absl::Status ValidateSignal(int32_t signal) {
  if (signal >= 1 && signal <= kMaxSignal) return absl::OkStatus();
  return Invalid(absl::StrCat("there is no signal ", signal));
}

absl::Status ValidateExecId(absl::string_view id) {
  const auto allowed = [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) ||
           absl::ascii_isdigit(static_cast<unsigned char>(c));
  };
  if (!id.empty() && id.size() <= kMaxExecIdBytes && std::all_of(id.begin(), id.end(), allowed)) {
    return absl::OkStatus();
  }
  return MakeError(Reason::kExecNotFound,
                   absl::StrCat("'", EscapeForLog(id.substr(0, 64)), "' is no id of a command"));
}

absl::StatusOr<msb::agent::v1::Exec> BuildExec(const ExecSpec& spec, const std::string& exec_id,
                                               const msb::v1::SandboxSpec& sandbox,
                                               const ImageConfig& image,
                                               const LimitsConfig& limits) {
  const std::vector<std::string> argv = spec.argv.empty() ? CommandOf(image) : spec.argv;
  if (argv.empty()) return Invalid("argv is empty, and the image has no command of its own");
  MSB_RETURN_IF_ERROR(CheckArguments(argv));
  MSB_RETURN_IF_ERROR(ValidateUser(spec.user));
  if (!spec.workdir.empty()) MSB_RETURN_IF_ERROR(ValidateGuestPath(spec.workdir));
  std::map<std::string, std::string> env = image.env;
  for (const auto& [name, value] : sandbox.env()) env[name] = value;
  for (const auto& secret : sandbox.secrets()) env[secret.name()] = secret.placeholder();
  for (const auto& [name, value] : spec.env) {
    MSB_RETURN_IF_ERROR(ValidateEnvVariable(name, value));
    env[name] = value;
  }
  msb::agent::v1::Exec exec;
  exec.set_exec_id(exec_id);
  for (const std::string& argument : argv) exec.add_argv(argument);
  AddEnv(env, exec);
  exec.set_cwd(!spec.workdir.empty()        ? spec.workdir
               : !sandbox.workdir().empty() ? sandbox.workdir()
                                            : image.workdir);
  exec.set_user(!spec.user.empty()        ? spec.user
                : !sandbox.user().empty() ? sandbox.user()
                                          : image.user);
  for (const ExecLimit& limit : spec.limits) MSB_RETURN_IF_ERROR(AddLimit(limit, exec));
  if (spec.pty) {
    MSB_RETURN_IF_ERROR(ValidateTerminalSize(*spec.pty));
    exec.mutable_pty()->set_rows(spec.pty->rows);
    exec.mutable_pty()->set_columns(spec.pty->columns);
  }
  MSB_ASSIGN_OR_RETURN(const uint64_t timeout_ms, TimeoutMs(spec, sandbox));
  exec.set_timeout_ms(timeout_ms);
  MSB_ASSIGN_OR_RETURN(const uint32_t ring_bytes, RingBytes(spec.ring_bytes, limits));
  exec.set_ring_bytes(ring_bytes);
  exec.set_attached(!spec.detach);
  exec.set_stdin_open(spec.stdin_open);
  MSB_RETURN_IF_ERROR(CheckBytes(exec));
  return exec;
}

}  // namespace msb
