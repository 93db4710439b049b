// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// How msb-net and msb-secrets begin and end: `--spec-fd N` gives a frame (base/frames.h) of a
// specification, which names every other descriptor.

#ifndef MSB_NETWORK_PROGRAM_H_
#define MSB_NETWORK_PROGRAM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace msb::net {

struct Program {
  const char* name = nullptr;
  // OK once the machine has hung up: that is the end of its network, and no error.
  absl::Status (*run)(UniqueFd spec) = nullptr;
};

// All of main(). 0: the machine has hung up; 1: any other end, which the log tells; 64: a command
// line that is not understood.
int RunProgram(const Program& program, int argc, char** argv);

absl::StatusOr<std::string> ReadSpecFrame(const UniqueFd& fd);

template <typename Spec>
absl::StatusOr<Spec> ReadSpec(UniqueFd fd) {
  MSB_ASSIGN_OR_RETURN(const std::string frame, ReadSpecFrame(fd));
  Spec spec;
  if (spec.ParseFromString(frame)) return spec;
  return MakeError(Reason::kFrameMalformed,
                   absl::StrCat("no ", spec.GetTypeName(), " at the descriptor"));
}

absl::Status SetNonBlocking(const UniqueFd& fd);

}  // namespace msb::net

#endif  // MSB_NETWORK_PROGRAM_H_
