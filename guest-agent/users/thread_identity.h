// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Makes one thread act with exactly the rights of a user, for as long as it lives.

#ifndef MSB_GUEST_AGENT_USERS_THREAD_IDENTITY_H_
#define MSB_GUEST_AGENT_USERS_THREAD_IDENTITY_H_

#include "absl/status/status.h"
#include "guest-agent/users/user_database.h"

namespace msb {

// Raw system calls, since the C library's wrappers change every thread of the process. Only the
// effective ids change: the kernel then clears the thread's effective capabilities and takes the
// file system ids along, so that every permission check is the user's. Real and saved ids stay
// root, which is what lets the thread return, and keeps the user's processes from signalling or
// tracing it.
//
// Root with no groups, the usual case, costs no system call.
class ThreadIdentity {
 public:
  ThreadIdentity() = default;
  ThreadIdentity(const ThreadIdentity&) = delete;
  ThreadIdentity& operator=(const ThreadIdentity&) = delete;
  // Returns to root. A thread that cannot must not go on: CHECK.
  ~ThreadIdentity();

  // At most once. On an error nothing has changed.
  absl::Status Take(const Identity& identity);

 private:
  bool changed_ = false;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_USERS_THREAD_IDENTITY_H_
