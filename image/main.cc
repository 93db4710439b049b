// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb-image: one job with an image (proto/msb/image/v1), then the end. Started by the jailer; opens
// no file by name but what name resolution and TLS need.

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/version.h"
#include "image/job/event_channel.h"
#include "image/job/job.h"
#include "msb/image/v1/image.pb.h"

namespace msb::image {
namespace {

constexpr char kUsage[] =
    "usage: msb-image --job-fd N [--log-level LEVEL]\n"
    "       msb-image --version | --help\n"
    "\n"
    "  --job-fd N         gives a frame of a msb.image.v1.JobSpec, which names every other\n"
    "                     descriptor\n"
    "  --log-level LEVEL  of stderr: debug, info (the default), warning, error\n"
    "\n"
    "exit status: 0 when the job is done, 1 when it failed (the last event says why), 2 for a\n"
    "command line or a JobSpec that is not understood, 3 when the daemon hung up before the end\n";

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitAbandoned = 3;

struct Arguments {
  int job_fd = -1;
  LogLevel log_level = LogLevel::kInfo;
  bool version = false;
  bool help = false;
};

bool ParseFlag(absl::string_view flag, absl::string_view value, Arguments& arguments) {
  if (flag == "--job-fd") {
    return absl::SimpleAtoi(value, &arguments.job_fd) && arguments.job_fd >= 0;
  }
  if (flag == "--log-level") {
    const std::optional<LogLevel> level = ParseLogLevel(value);
    arguments.log_level = level.value_or(arguments.log_level);
    return level.has_value();
  }
  return false;
}

std::optional<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view word = argv[i];
    if (word == "--version") {
      arguments.version = true;
    } else if (word == "--help") {
      arguments.help = true;
    } else if (i + 1 < argc && ParseFlag(word, argv[i + 1], arguments)) {
      ++i;
    } else {
      return std::nullopt;
    }
  }
  if (arguments.job_fd < 0 && !arguments.version && !arguments.help) return std::nullopt;
  return arguments;
}

absl::StatusOr<v1::JobSpec> ReadJob(int job_fd) {
  const UniqueFd owned(job_fd);
  MSB_ASSIGN_OR_RETURN(const std::optional<std::string> frame,
                       ReadFrame(job_fd, absl::InfiniteFuture()));
  v1::JobSpec spec;
  if (!frame.has_value() || !spec.ParseFromString(*frame) || spec.event_fd() < 3) {
    return MakeError(Reason::kFrameMalformed, "no JobSpec with an event_fd at the descriptor");
  }
  return spec;
}

// The last event, and the exit status that goes with it.
std::pair<v1::JobEvent, int> EndOf(const absl::StatusOr<v1::JobDone>& result) {
  v1::JobEvent event;
  if (result.ok()) {
    *event.mutable_done() = *result;
    return {std::move(event), kExitDone};
  }
  const Reason reason = ReasonOf(result.status());
  event.mutable_error()->set_reason(
      static_cast<int>(reason == Reason::kUnspecified ? Reason::kHostError : reason));
  event.mutable_error()->set_message(EscapeForLog(result.status().message()));
  return {std::move(event), kExitFailed};
}

int Run(const v1::JobSpec& spec) {
  EventChannel channel{UniqueFd(spec.event_fd())};
  // Whatever the job waits for, a daemon that hangs up ends it: nothing but `.part` files, which
  // are made for that, is left half done.
  static std::atomic<bool> ended = false;
  std::thread([&channel] {
    channel.WaitForHangUp();
    if (!ended) ::_exit(kExitAbandoned);
  }).detach();
  const auto [event, status] = EndOf(RunJob(spec, channel));
  if (event.has_error()) {
    MSB_LOG(kWarning) << event.error().message();
  }
  ended = true;
  const absl::Status sent = channel.Send(event);
  // Without destructors: the thread above still looks at the channel.
  std::fflush(nullptr);
  ::_exit(sent.ok() ? status : kExitAbandoned);
}

int Main(int argc, char** argv) {
  const std::optional<Arguments> arguments = ParseArguments(argc, argv);
  if (!arguments.has_value()) {
    std::fputs(kUsage, stderr);
    return kExitUsage;
  }
  if (arguments->help || arguments->version) {
    std::printf("%s",
                arguments->help ? kUsage : absl::StrCat("msb-image ", Version(), "\n").c_str());
    return kExitDone;
  }
  InitLog("msb-image", arguments->log_level);
  ::signal(SIGPIPE, SIG_IGN);
  // A file at its limit is an error of the write.
  ::signal(SIGXFSZ, SIG_IGN);
  // No core, no ptrace: a password may be in memory.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const absl::StatusOr<v1::JobSpec> spec = ReadJob(arguments->job_fd);
  if (!spec.ok()) {
    MSB_LOG(kError) << spec.status().message();
    return kExitUsage;
  }
  return Run(*spec);
}

}  // namespace
}  // namespace msb::image

int main(int argc, char** argv) { return msb::image::Main(argc, argv); }
