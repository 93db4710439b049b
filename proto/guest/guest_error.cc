// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "proto/guest/guest_error.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"

namespace msb {
namespace {

// Commands, files and the agent's own protocol (base/reasons.inc), and a request that it finds
// wrong.
bool IsTheGuestsToSay(Reason reason) {
  const int number = static_cast<int>(reason);
  return reason == Reason::kInvalidArgument || reason == Reason::kLimitExceeded ||
         (number >= static_cast<int>(Reason::kExecNotFound) &&
          number <= static_cast<int>(Reason::kFrameTruncated));
}

}  // namespace

absl::Status StatusFromGuest(const msb::agent::v1::Error& error) {
  const Reason reason = ReasonFromNumber(error.reason());
  const std::string text = EscapeForLog(error.message());
  if (IsTheGuestsToSay(reason)) return MakeError(reason, text);
  return MakeError(Reason::kAgentProtocol,
                   absl::StrCat("the agent failed with ", ReasonName(reason), ": ", text));
}

}  // namespace msb
