// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Turns of those who may not be at it together: one at a time, in the order in which they asked.
//
// Threading: one loop's; a turn may be let go of on any thread.

#ifndef MSB_SUPERVISOR_SANDBOX_TURNS_H_
#define MSB_SUPERVISOR_SANDBOX_TURNS_H_

#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"

namespace msb {

class Turns {
 public:
  // Lasts until its last copy goes.
  using Turn = std::shared_ptr<void>;
  using OnTurn = std::function<void(absl::StatusOr<Turn>)>;

  // `loop` outlives all turns.
  explicit Turns(EventLoop& loop) : loop_(loop) {}

  // Calls `on_turn` once, perhaps before it returns.
  void Take(OnTurn on_turn);
  // Whoever waits gets `why` instead of a turn.
  void Refuse(const absl::Status& why);
  // Whoever waits gets nothing.
  void Forget() { std::exchange(line_->waiting, {}); }

 private:
  struct Line {
    std::deque<OnTurn> waiting;
    bool taken = false;
  };
  static void Next(EventLoop& loop, const std::shared_ptr<Line>& line);

  EventLoop& loop_;
  const std::shared_ptr<Line> line_ = std::make_shared<Line>();
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_SANDBOX_TURNS_H_
