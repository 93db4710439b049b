// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The public API: all services on the Unix socket and, where it is wanted, on a loopback address.

#ifndef MSB_SUPERVISOR_API_SERVER_H_
#define MSB_SUPERVISOR_API_SERVER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "supervisor/config/config.h"
#include "supervisor/sandbox/registry.h"

namespace msb {

class ApiServer {
 public:
  virtual ~ApiServer() = default;
  // Ends calls under way after the configuration's shutdown_grace and takes no more.
  virtual void Shutdown() = 0;

  // Takes calls when it returns. `config` and `registry` outlive the server.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(const Config& config, Registry& registry);
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_SERVER_H_
