// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbd: the daemon. usage: msbd [--config FILE] [--check-config | --print-config | --version]

#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/descriptor_limit.h"
#include "base/error.h"
#include "base/log.h"
#include "base/version.h"
#include "supervisor/config/loader.h"
#include "supervisor/config/settings.h"
#include "supervisor/daemon/daemon.h"
#include "supervisor/daemon/notify.h"

namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

constexpr char kUsage[] =
    "usage: msbd [--config FILE] [OPTION]\n"
    "\n"
    "Runs micro-VM sandboxes for the users of this host. Stays in the foreground; SIGTERM ends "
    "it,\n"
    "and the sandboxes go on.\n"
    "\n"
    "  --config FILE    read this file alone; otherwise /etc/microsandbox/config.toml and over it\n"
    "                   ~/.config/microsandbox/config.toml, where they are\n"
    "  --check-config   say whether the configuration is valid, and end\n"
    "  --print-config   print every setting with its value, and end\n"
    "  --describe-config  print docs/configuration.md, and end\n"
    "  --version        print the version, and end\n";

struct Arguments {
  std::string config_file;
  std::string action;  // an option that does one thing and ends; empty: serve
};

absl::StatusOr<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--config" && i + 1 < argc) {
      arguments.config_file = argv[++i];
    } else if (word == "--check-config" || word == "--print-config" || word == "--version" ||
               word == "--help" || word == "--describe-config") {
      arguments.action = word;
    } else {
      return msb::MakeError(msb::Reason::kInvalidArgument, absl::StrCat("unknown option ", word));
    }
  }
  return arguments;
}

absl::StatusOr<msb::Config> Load(const Arguments& arguments) {
  if (arguments.config_file.empty()) {
    return msb::LoadConfig(msb::StandardConfigFiles(), msb::MissingFile::kSkip);
  }
  return msb::LoadConfig({arguments.config_file}, msb::MissingFile::kError);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "msbd: %s [%s]\n", std::string(status.message()).c_str(),
               std::string(msb::ReasonName(msb::ReasonOf(status))).c_str());
  return kExitFailure;
}

// Before any thread, so that all inherit it: the main thread takes these by sigwait.
sigset_t BlockEndingSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);  // the configuration is read at the start alone
  return set;
}

int Serve(const msb::Config& config) {
  const sigset_t ending = BlockEndingSignals();
  ::umask(0077);
  // Values of secrets pass through memory of libraries: no core file has them, no other process of
  // this user reads them. Children have their own flag.
  if (::geteuid() == 0) ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  msb::InitLog("msbd", msb::ParseLogLevel(config.daemon.log_level).value_or(msb::LogLevel::kInfo));
  MSB_LOG(kInfo) << "msbd " << msb::Version();
  // Some dozen for a sandbox, and two for each layer of an image while it starts. What stands in a
  // jail has limits of its own (jailer/steps/09_rlimits.cc).
  if (const auto limit = msb::RaiseDescriptorLimit(); !limit.ok()) {
    MSB_LOG(kWarning) << "open files: " << limit.status().message();
  }
  const absl::StatusOr<std::unique_ptr<msb::Daemon>> daemon = msb::Daemon::Start(config);
  if (!daemon.ok()) return Fail(daemon.status());
  msb::NotifySupervisor("READY=1");
  int signal = 0;
  ::sigwait(&ending, &signal);
  MSB_LOG(kInfo) << "ending; sandboxes go on";
  msb::NotifySupervisor("STOPPING=1");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<Arguments> arguments = ParseArguments(argc, argv);
  if (!arguments.ok()) {
    std::fprintf(stderr, "msbd: %s\n\n%s", std::string(arguments.status().message()).c_str(),
                 kUsage);
    return kExitUsage;
  }
  if (arguments->action == "--help") {
    std::fputs(kUsage, stdout);
    return 0;
  }
  if (arguments->action == "--version") {
    std::printf("msbd %s\n", std::string(msb::Version()).c_str());
    return 0;
  }
  if (arguments->action == "--describe-config") {
    std::fputs(msb::DescribeSettings().c_str(), stdout);
    return 0;
  }
  const absl::StatusOr<msb::Config> config = Load(*arguments);
  if (!config.ok()) return Fail(config.status());
  if (arguments->action == "--check-config") return 0;
  if (arguments->action == "--print-config") {
    std::fputs(msb::PrintSettings(*config).c_str(), stdout);
    return 0;
  }
  return Serve(*config);
}
