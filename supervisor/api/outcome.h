// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// How an absl::Status leaves the daemon: as a gRPC status, its reason as trailing metadatum.

#ifndef MSB_SUPERVISOR_API_OUTCOME_H_
#define MSB_SUPERVISOR_API_OUTCOME_H_

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"

namespace msb {

// Adds `msb-reason` to the trailing metadata of `context` where `status` carries a reason. Before
// Finish.
grpc::Status Outcome(grpc::CallbackServerContext& context, const absl::Status& status);

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_OUTCOME_H_
