// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/close_aside.h"

#include <pthread.h>
#include <sys/ioctl.h>

#include <memory>
#include <utility>

namespace msb {
namespace {

struct Closing {
  // In this order: as long as the connection is open, it counts as one of its user's.
  UniqueFd connection;
  std::vector<UniqueFd> passed;
};

void* Close(void* raw) {
  const std::unique_ptr<Closing> closing(static_cast<Closing*>(raw));
  closing->passed.clear();
  return nullptr;
}

}  // namespace

void CloseAside(UniqueFd connection, std::vector<UniqueFd> passed) {
  int unread = 0;
  if (connection.valid()) ::ioctl(connection.get(), FIONREAD, &unread);
  if (unread == 0 && passed.empty()) return;
  auto closing = std::make_unique<Closing>(std::move(connection), std::move(passed));
  pthread_t thread;
  // Without a thread to be had it is done here.
  if (::pthread_create(&thread, nullptr, &Close, closing.get()) != 0) return;
  closing.release();
  ::pthread_detach(thread);
}

}  // namespace msb
