// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/turns.h"

#include <utility>

namespace msb {

void Turns::Take(OnTurn on_turn) {
  line_->waiting.push_back(std::move(on_turn));
  if (!line_->taken) Next(loop_, line_);
}

void Turns::Refuse(const absl::Status& why) {
  for (const OnTurn& on_turn : std::exchange(line_->waiting, {})) on_turn(why);
}

void Turns::Next(EventLoop& loop, const std::shared_ptr<Line>& line) {
  line->taken = !line->waiting.empty();
  if (!line->taken) return;
  const OnTurn on_turn = std::move(line->waiting.front());
  line->waiting.pop_front();
  // Posted, wherever it ends: behind what its holder still has to do, and on the loop.
  on_turn(Turn(nullptr, [&loop, weak = std::weak_ptr<Line>(line)](void*) {
    loop.Post([&loop, weak] {
      if (const auto known = weak.lock()) Next(loop, known);
    });
  }));
}

}  // namespace msb
