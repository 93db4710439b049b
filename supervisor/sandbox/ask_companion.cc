// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/ask_companion.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"

namespace msb {
namespace {

absl::StatusOr<std::optional<std::string>> Ask(const CompanionQuestion& question,
                                               absl::Time deadline) {
  // A backlog that is full is an error at once: a blocking connect would wait for who is in it.
  MSB_ASSIGN_OR_RETURN(const UniqueFd socket, ConnectUnix(question.socket, Blocking::kNo));
  const absl::Span<const int> descriptors(&question.descriptor, question.descriptor < 0 ? 0 : 1);
  MSB_RETURN_IF_ERROR(WriteWithDescriptors(socket.get(), question.frame, descriptors, deadline));
  return ReadFrame(socket.get(), deadline);
}

}  // namespace

absl::StatusOr<std::string> AskCompanion(const CompanionQuestion& question,
                                         absl::Duration timeout) {
  absl::StatusOr<std::optional<std::string>> answer = Ask(question, absl::Now() + timeout);
  if (!answer.ok()) return WithReason(Reason::kHostError, question.asked, answer.status());
  if (answer->has_value()) return **std::move(answer);
  return MakeError(Reason::kHostError,
                   absl::StrCat(question.asked, " gave no answer; its log says why"));
}

}  // namespace msb
