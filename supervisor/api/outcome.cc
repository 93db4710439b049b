// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/outcome.h"

#include <string>

#include "base/error.h"

namespace msb {

grpc::Status Outcome(grpc::CallbackServerContext& context, const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  if (const Reason reason = ReasonOf(status); reason != Reason::kUnspecified) {
    context.AddTrailingMetadata("msb-reason", std::string(ReasonName(reason)));
  }
  // The canonical codes of Abseil and gRPC are the same numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace msb
