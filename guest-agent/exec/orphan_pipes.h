// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Reads on, for nobody, what the leftovers of ended commands write.
//
// A server that a shell put into the background holds the shell's stdout. Were its pipe closed, the
// server's next line of log would kill it (SIGPIPE).

#ifndef MSB_GUEST_AGENT_EXEC_ORPHAN_PIPES_H_
#define MSB_GUEST_AGENT_EXEC_ORPHAN_PIPES_H_

#include <list>

#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace msb {

// Belongs to the loop's thread.
class OrphanPipes {
 public:
  // Pipes held; beyond that the oldest is closed.
  static constexpr size_t kDefaultLimit = 1024;

  explicit OrphanPipes(EventLoop& loop, size_t limit = kDefaultLimit)
      : loop_(loop), limit_(limit) {}
  OrphanPipes(const OrphanPipes&) = delete;
  OrphanPipes& operator=(const OrphanPipes&) = delete;
  ~OrphanPipes();

  // A non-blocking read end that the loop does not watch.
  void Adopt(UniqueFd pipe);
  size_t size() const { return pipes_.size(); }

 private:
  using Place = std::list<UniqueFd>::iterator;
  void Discard(Place place);
  void Drop(Place place);

  EventLoop& loop_;
  const size_t limit_;
  std::list<UniqueFd> pipes_;
};

}  // namespace msb

#endif  // MSB_GUEST_AGENT_EXEC_ORPHAN_PIPES_H_
