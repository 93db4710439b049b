// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/signals.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"

namespace msb {
namespace {

sigset_t ForwardedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH}) {
    sigaddset(&set, signal);
  }
  return set;
}

}  // namespace

void BlockForwardedSignals() {
  const sigset_t set = ForwardedSignals();
  MSB_CHECK(::pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  ::signal(SIGPIPE, SIG_IGN);
}

SignalThread::SignalThread(std::function<void(int)> handler) : stop_(::eventfd(0, EFD_CLOEXEC)) {
  MSB_CHECK(stop_.valid());
  const sigset_t set = ForwardedSignals();
  UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC));
  MSB_CHECK(signals.valid());
  thread_ =
      std::thread([stop = stop_.get(), signals = std::move(signals), handler = std::move(handler)] {
        while (true) {
          pollfd waited[] = {{signals.get(), POLLIN, 0}, {stop, POLLIN, 0}};
          if (::poll(waited, 2, -1) < 0) continue;
          if (waited[1].revents != 0) return;
          signalfd_siginfo info;
          if (::read(signals.get(), &info, sizeof(info)) == sizeof(info)) {
            handler(static_cast<int>(info.ssi_signo));
          }
        }
      });
}

SignalThread::~SignalThread() {
  const uint64_t one = 1;
  MSB_CHECK(::write(stop_.get(), &one, sizeof(one)) == sizeof(one));
  thread_.join();
}

}  // namespace msb
