// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/exec/orphan_pipes.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace msb {

OrphanPipes::~OrphanPipes() {
  while (!pipes_.empty()) Drop(pipes_.begin());
}

void OrphanPipes::Adopt(UniqueFd pipe) {
  if (pipes_.size() >= limit_) Drop(pipes_.begin());
  pipes_.push_back(std::move(pipe));
  const Place place = std::prev(pipes_.end());
  const absl::Status watched =
      loop_.Watch(place->get(), EPOLLIN, [this, place](uint32_t) { Discard(place); });
  if (!watched.ok()) pipes_.erase(place);
}

void OrphanPipes::Discard(Place place) {
  char chunk[16 * 1024];
  const ssize_t got = ::read(place->get(), chunk, sizeof(chunk));
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) Drop(place);
}

void OrphanPipes::Drop(Place place) {
  loop_.Unwatch(place->get());
  pipes_.erase(place);
}

}  // namespace msb
