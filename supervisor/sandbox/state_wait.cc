// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/state_wait.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "supervisor/sandbox/lifecycle.h"

namespace msb {

std::shared_ptr<StateWait> StateWait::Begin(const std::shared_ptr<Sandbox>& sandbox,
                                            std::vector<msb::v1::SandboxState> states, Done done) {
  std::shared_ptr<StateWait> wait(new StateWait(sandbox, std::move(states), std::move(done)));
  wait->observer_ = sandbox->Observe([weak = wait->weak_from_this()] {
    if (const auto self = weak.lock()) self->Look();
  });
  wait->Look();
  return wait;
}

StateWait::StateWait(std::shared_ptr<Sandbox> sandbox, std::vector<msb::v1::SandboxState> states,
                     Done done)
    : loop_(sandbox->context().loop),
      sandbox_(std::move(sandbox)),
      states_(std::move(states)),
      done_(std::move(done)) {}

void StateWait::Look() {
  if (!sandbox_) return;
  const msb::v1::SandboxState state = sandbox_->state();
  const bool there = states_.empty()
                         ? IsAtRest(state)
                         : std::find(states_.begin(), states_.end(), state) != states_.end();
  if (!there && !sandbox_->removed()) return;
  const std::shared_ptr<Sandbox> sandbox = sandbox_;
  const Done done = std::move(done_);
  End();
  if (sandbox->removed()) {
    return done(MakeError(Reason::kSandboxNotFound, "the sandbox was removed"));
  }
  done(sandbox->View());
}

void StateWait::Cancel() {
  loop_.Post([self = shared_from_this()] { self->End(); });
}

void StateWait::End() {
  const std::shared_ptr<StateWait> self = shared_from_this();  // the observer may hold the last one
  if (sandbox_) sandbox_->Unobserve(observer_);
  sandbox_.reset();
  done_ = nullptr;
}

}  // namespace msb
