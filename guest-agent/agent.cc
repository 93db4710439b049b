// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/agent.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr int kOwnFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
constexpr int kFromPeople[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGPWR};

}  // namespace

void BlockSignals() {
  sigset_t signals;
  ::sigfillset(&signals);
  for (const int fault : kOwnFaults) ::sigdelset(&signals, fault);
  ::sigprocmask(SIG_SETMASK, &signals, nullptr);
}

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(Guest& guest, const AgentOptions& options) {
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<EventLoop> loop, EventLoop::Create());
  MSB_ASSIGN_OR_RETURN(const int null_device, Syscall("open /dev/null", [] {
                         return ::open("/dev/null", O_RDWR | O_CLOEXEC);
                       }));
  UniqueFd null_fd(null_device);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGCHLD);
  for (const int signal : kFromPeople) ::sigaddset(&signals, signal);
  MSB_ASSIGN_OR_RETURN(const int signal_fd, Syscall("signalfd", [&] {
                         return ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
                       }));
  std::unique_ptr<Agent> agent(
      new Agent(std::move(loop), std::move(null_fd), UniqueFd(signal_fd), guest, options));
  MSB_RETURN_IF_ERROR(agent->loop_->Watch(agent->signals_.get(), EPOLLIN,
                                          [agent = agent.get()](uint32_t) { agent->OnSignals(); }));
  return agent;
}

Agent::Agent(std::unique_ptr<EventLoop> loop, UniqueFd null_device, UniqueFd signals, Guest& guest,
             const AgentOptions& options)
    : loop_(std::move(loop)),
      null_device_(std::move(null_device)),
      signals_(std::move(signals)),
      cgroups_(options.cgroup_directory),
      orphans_(*loop_),
      execs_({.loop = *loop_,
              .users = users_,
              .cgroups = cgroups_,
              .orphans = orphans_,
              .null_fd = null_device_.get()},
             options.execs),
      server_({.loop = *loop_, .users = users_, .execs = execs_, .guest = guest}, options.server) {}

void Agent::OnSignals() {
  signalfd_siginfo pending[8];
  const ssize_t got = ::read(signals_.get(), pending, sizeof(pending));
  for (ssize_t i = 0; i < got / static_cast<ssize_t>(sizeof(pending[0])); ++i) {
    const int signal = static_cast<int>(pending[i].ssi_signo);
    if (signal != SIGCHLD) {
      if (on_signal) on_signal(signal);
    } else if (!execs_.ReapChildren() && on_no_children) {
      on_no_children();
    }
  }
}

}  // namespace msb
