// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Signals as events of one thread.

#ifndef MSB_SDKS_MSBCTL_SIGNALS_H_
#define MSB_SDKS_MSBCTL_SIGNALS_H_

#include <functional>
#include <thread>

#include "base/unique_fd.h"

namespace msb {

// Blocks SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 and SIGWINCH in the calling thread and
// all that it starts. For the commands that use a SignalThread, before gRPC starts its threads;
// elsewhere the signals keep their usual effect.
void BlockForwardedSignals();

// Hands each of them to `handler`, on a thread of its own, for as long as the object lives.
class SignalThread {
 public:
  explicit SignalThread(std::function<void(int signal)> handler);
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;
  ~SignalThread();

 private:
  UniqueFd stop_;
  std::thread thread_;
};

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_SIGNALS_H_
