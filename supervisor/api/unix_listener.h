// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The Unix socket of the API: takes connections itself, so that it knows who connects, and hands
// them to gRPC, or to what their first byte asks for.

#ifndef MSB_SUPERVISOR_API_UNIX_LISTENER_H_
#define MSB_SUPERVISOR_API_UNIX_LISTENER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "supervisor/api/service_base.h"

namespace msb {

class UnixListener {
 public:
  // Everybody may connect: who may not use the daemon is told so in answer to a call. The
  // references outlive the listener.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Start(const std::string& path,
                                                             grpc::Server& server,
                                                             const ApiContext& api);
  ~UnixListener();
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

 private:
  UnixListener(std::string path, UniqueFd listener, std::unique_ptr<EventLoop> loop,
               grpc::Server& server, const ApiContext& api);
  absl::Status Watch();
  void OnConnection();
  void OnFirstByte(UniqueFd& connection);
  void PauseAccepting(const absl::Status& why);

  const std::string path_;
  const UniqueFd listener_;
  const std::unique_ptr<EventLoop> loop_;
  grpc::Server& server_;
  const ApiContext api_;
  std::thread thread_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_UNIX_LISTENER_H_
