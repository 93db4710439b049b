// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl daemon, config, version: the daemon as a program of this host.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unix_socket.h"
#include "base/version.h"
#include "sdks/msbctl/command_line.h"
#include "sdks/msbctl/progress.h"

extern char** environ;

namespace msb {
namespace {

constexpr size_t kLogTailBytes = 4096;

struct DaemonOptions {
  std::string program;  // empty: found
  std::string config;
  std::string log_file = "/var/log/msbd.log";
  std::string timeout = "60";
};

// Beside this program, in the build tree, then on PATH.
std::string FindDaemon(const DaemonOptions& options) {
  if (!options.program.empty()) return options.program;
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& candidate :
       {self / "msbd", self / "../sbin/msbd", self / "../../supervisor/msbd"}) {
    if (std::filesystem::exists(candidate, error)) return candidate.lexically_normal().string();
  }
  return "msbd";
}

std::vector<std::string> DaemonCommand(const DaemonOptions& options) {
  std::vector<std::string> argv = {FindDaemon(options)};
  if (!options.config.empty()) {
    argv.push_back("--config");
    argv.push_back(options.config);
  }
  return argv;
}

// The process that listens on the socket, or kDaemonUnreachable.
absl::StatusOr<pid_t> DaemonPid(const std::string& socket) {
  const auto connection = ConnectUnix(socket, Blocking::kYes);
  if (!connection.ok()) {
    return WithReason(Reason::kDaemonUnreachable,
                      "the daemon does not run (start it with: sudo msbctl daemon start)",
                      connection.status());
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  MSB_RETURN_IF_ERROR(Syscall("SO_PEERCRED", [&] {
    return ::getsockopt(connection->get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
  }));
  return peer.pid;
}

class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// A new session, our blocked signals open again.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& argv, SpawnActions& actions,
                            bool detached) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  const short session = detached ? POSIX_SPAWN_SETSID : 0;
  ::posix_spawnattr_setflags(&attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK | session));
  pid_t pid = 0;
  const int error =
      ::posix_spawnp(&pid, words[0], actions.get(), &attributes, words.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("run ", argv[0]));
  return pid;
}

// Waits until the daemon says READY=1 on the socket it was given (sd_notify(3)) or ends.
absl::Status WaitReady(int notify, pid_t pid, absl::Duration timeout, const std::string& log) {
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0) {
      return MakeError(Reason::kDaemonUnreachable,
                       absl::StrCat("msbd is not ready after ", absl::FormatDuration(timeout),
                                    "; its log: ", log));
    }
    pollfd waited[] = {{notify, POLLIN, 0}, {process.get(), POLLIN, 0}};
    if (::poll(waited, 2, static_cast<int>(left)) <= 0) continue;
    if (waited[0].revents != 0) {
      char message[256] = {};
      const ssize_t got = ::recv(notify, message, sizeof(message) - 1, 0);
      if (got > 0 && absl::string_view(message, static_cast<size_t>(got)).find("READY=1") !=
                         absl::string_view::npos) {
        return absl::OkStatus();
      }
    } else if (waited[1].revents != 0) {
      return MakeError(Reason::kDaemonUnreachable,
                       absl::StrCat("msbd ended at its start; its log: ", log));
    }
  }
}

// The daemon's log, which it will write to; its error here says more than posix_spawn's.
absl::StatusOr<UniqueFd> OpenLog(const std::string& path) {
  UniqueFd log(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (log.valid()) return log;
  return absl::ErrnoToStatus(
      errno, absl::StrCat("open the daemon's log ", path, " (be root, or give --log-file)"));
}

// The last line that was written since `start`: why the daemon ended.
std::string LastLineSince(const UniqueFd& log, off_t start) {
  std::string text(kLogTailBytes, '\0');
  const off_t end = ::lseek(log.get(), 0, SEEK_END);
  start = std::max(start, end - static_cast<off_t>(text.size()));
  const ssize_t got = ::pread(log.get(), text.data(), text.size(), start);
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

absl::StatusOr<int> StartDaemon(Session& session, const DaemonOptions& options) {
  if (const auto pid = DaemonPid(session.endpoint.socket); pid.ok()) {
    std::printf("running already, pid %d\n", *pid);
    return kExitOk;
  }
  MSB_ASSIGN_OR_RETURN(const google::protobuf::Duration timeout, ParseDuration(options.timeout));
  MSB_ASSIGN_OR_RETURN(const UniqueFd log, OpenLog(options.log_file));
  const off_t log_start = ::lseek(log.get(), 0, SEEK_END);
  // An abstract address: nothing to clear away.
  UniqueFd notify(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = absl::StrCat("msbctl-", ::getpid());
  name.copy(address.sun_path + 1, name.size());
  MSB_RETURN_IF_ERROR(Syscall("bind the notify socket", [&] {
    return ::bind(notify.get(), reinterpret_cast<sockaddr*>(&address),
                  static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size()));
  }));
  ::setenv("NOTIFY_SOCKET", absl::StrCat("@", name).c_str(), 1);
  SpawnActions actions;
  ::posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(actions.get(), STDOUT_FILENO, options.log_file.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0640);
  ::posix_spawn_file_actions_adddup2(actions.get(), STDOUT_FILENO, STDERR_FILENO);
  MSB_ASSIGN_OR_RETURN(const pid_t pid, Spawn(DaemonCommand(options), actions, true));
  const Progress progress("starting msbd");
  const absl::Status ready =
      WaitReady(notify.get(), pid, absl::Seconds(timeout.seconds()), options.log_file);
  if (!ready.ok()) {
    const std::string last = LastLineSince(log, log_start);
    return last.empty() ? ready
                        : MakeError(Reason::kDaemonUnreachable,
                                    absl::StrCat(ready.message(), "; its last line: ", last));
  }
  std::printf("started, pid %d, log %s\n", pid, options.log_file.c_str());
  if (!DaemonPid(session.endpoint.socket).ok()) {
    std::fprintf(stderr,
                 "msbctl: nothing answers at %s: set MSB_SOCKET to the daemon.socket of "
                 "its configuration\n",
                 session.endpoint.socket.c_str());
  }
  return kExitOk;
}

absl::StatusOr<int> StopDaemon(Session& session, const DaemonOptions& options) {
  MSB_ASSIGN_OR_RETURN(const google::protobuf::Duration timeout, ParseDuration(options.timeout));
  MSB_ASSIGN_OR_RETURN(const pid_t pid, DaemonPid(session.endpoint.socket));
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process.valid()) return absl::ErrnoToStatus(errno, "open the daemon's process");
  const auto sent = Syscall("signal the daemon", [&] {
    return ::syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0);
  });
  if (absl::IsPermissionDenied(sent.status())) {
    return MakeError(Reason::kPermissionDenied,
                     absl::StrCat("only root or the daemon's user may end msbd, pid ", pid,
                                  ": sudo msbctl daemon stop"));
  }
  MSB_RETURN_IF_ERROR(sent.status());
  pollfd waited{process.get(), POLLIN, 0};
  if (::poll(&waited, 1, static_cast<int>(timeout.seconds() * 1000)) <= 0) {
    return MakeError(Reason::kDaemonUnreachable, absl::StrCat("msbd, pid ", pid, ", does not end"));
  }
  std::printf("stopped; sandboxes go on\n");
  return kExitOk;
}

absl::StatusOr<int> DaemonStatus(Session& session) {
  MSB_ASSIGN_OR_RETURN(const pid_t pid, DaemonPid(session.endpoint.socket));
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  MSB_ASSIGN_OR_RETURN(const msb::v1::Info info,
                       client->Call(client->system(), &msb::v1::SystemService::Stub::GetInfo,
                                    msb::v1::GetInfoRequest()));
  if (session.format() == Format::kJson) {
    std::fputs(ToJson(info).c_str(), stdout);
    return kExitOk;
  }
  std::printf("running     pid %d, version %s\n", pid, info.version().c_str());
  std::printf("started     %s\n", Ago(info.started_at()).c_str());
  std::printf("sandboxes   %u, %u of them running\n", info.sandboxes(), info.running());
  std::printf("engine      %s\n", Printable(info.engine_choice()).c_str());
  return kExitOk;
}

// Lets the daemon's own program answer, so that there is one reader of the configuration.
absl::StatusOr<int> AskDaemonProgram(const DaemonOptions& options, const char* flag) {
  std::vector<std::string> argv = DaemonCommand(options);
  argv.push_back(flag);
  SpawnActions actions;
  MSB_ASSIGN_OR_RETURN(const pid_t pid, Spawn(argv, actions, false));
  int status = 0;
  MSB_RETURN_IF_ERROR(Syscall("wait for msbd", [&] { return ::waitpid(pid, &status, 0); }));
  return WIFEXITED(status) ? WEXITSTATUS(status) : kExitFailure;
}

absl::StatusOr<int> PrintVersion(Session& session) {
  std::printf("msbctl %s\n", std::string(Version()).c_str());
  const auto client = session.client();
  if (!client.ok()) return kExitOk;  // the daemon's version is extra
  const auto info = (*client)->Call((*client)->system(), &msb::v1::SystemService::Stub::GetInfo,
                                    msb::v1::GetInfoRequest());
  if (info.ok()) std::printf("msbd   %s\n", info->version().c_str());
  return kExitOk;
}

}  // namespace

void AddDaemonCommands(CLI::App& app, Session& session) {
  auto options = std::make_shared<DaemonOptions>();
  auto* daemon = app.add_subcommand("daemon", "start, stop or look at the daemon of this host");
  daemon->group(kHostGroup);
  daemon->footer(
      "Sandboxes and their commands go on while the daemon is away.\n\n"
      "Examples:\n"
      "  sudo msbctl daemon start\n"
      "  sudo msbctl daemon --config ./config.toml --log-file ./msbd.log start\n"
      "  msbctl daemon status");
  daemon->require_subcommand(1);
  daemon->add_option("--msbd", options->program, "the daemon's program")->type_name("PATH");
  daemon->add_option("--config", options->config, "its configuration file")->type_name("PATH");
  daemon->add_option("--log-file", options->log_file, "where its log goes")
      ->type_name("PATH")
      ->capture_default_str();
  daemon->add_option("--timeout", options->timeout, "how long to wait for it")
      ->type_name("TIME")
      ->capture_default_str();
  daemon->add_subcommand("start", "start it in the background")->callback([&session, options] {
    session.End(StartDaemon(session, *options));
  });
  daemon->add_subcommand("stop", "end it; sandboxes go on")->callback([&session, options] {
    session.End(StopDaemon(session, *options));
  });
  daemon->add_subcommand("status", "is it running")->callback([&session] {
    session.End(DaemonStatus(session));
  });

  auto* config = app.add_subcommand("config", "the daemon's configuration");
  config->group(kHostGroup);
  config->footer(
      "docs/configuration.md has every setting.\n\n"
      "Examples:\n"
      "  msbctl config show\n"
      "  msbctl config --config ./config.toml check");
  config->require_subcommand(1);
  config->add_option("--msbd", options->program, "the daemon's program")->type_name("PATH");
  config->add_option("--config", options->config, "the file, instead of the usual two")
      ->type_name("PATH");
  config->add_subcommand("show", "every setting, with its value")->callback([&session, options] {
    session.End(AskDaemonProgram(*options, "--print-config"));
  });
  config->add_subcommand("check", "is it valid")->callback([&session, options] {
    const auto code = AskDaemonProgram(*options, "--check-config");
    if (code.ok() && *code == kExitOk) std::printf("the configuration is valid\n");
    session.End(code);
  });

  auto* version = app.add_subcommand("version", "versions of msbctl and the daemon");
  version->group(kHostGroup);
  version->footer("Example:\n  msbctl version");
  version->callback([&session] { session.End(PrintVersion(session)); });
}

}  // namespace msb
