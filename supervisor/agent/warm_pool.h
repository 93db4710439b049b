// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Connections to an agent that were made before they are needed: connecting costs a slow guest
// milliseconds, which an operation then does not wait for.

#ifndef MSB_SUPERVISOR_AGENT_WARM_POOL_H_
#define MSB_SUPERVISOR_AGENT_WARM_POOL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "supervisor/agent/connector.h"

namespace msb {

// Threading: the loop's thread only.
class WarmPool : public std::enable_shared_from_this<WarmPool> {
 public:
  using Connect = std::function<void(GuestConnector::Done)>;

  WarmPool(EventLoop& loop, uint32_t size, Connect connect)
      : loop_(loop), size_(size), connect_(std::move(connect)) {}
  ~WarmPool() { Close(); }
  WarmPool(const WarmPool&) = delete;
  WarmPool& operator=(const WarmPool&) = delete;

  // Makes what is missing, in the background. A connection that cannot be made is not tried again
  // before the next call.
  void Fill();
  // Not valid when there is none. Makes a new one in its place.
  UniqueFd Take();
  void Close();
  size_t ready() const { return ready_.size(); }

 private:
  void Add(UniqueFd fd);
  void Drop(int fd);

  EventLoop& loop_;
  const uint32_t size_;
  Connect connect_;  // empty once closed
  std::deque<UniqueFd> ready_;
  uint32_t connecting_ = 0;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_AGENT_WARM_POOL_H_
