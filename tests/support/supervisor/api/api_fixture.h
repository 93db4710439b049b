// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The daemon with its API on a Unix socket, over a fake launcher, and a client of it.

#ifndef MSB_TESTS_SUPPORT_SUPERVISOR_API_API_FIXTURE_H_
#define MSB_TESTS_SUPPORT_SUPERVISOR_API_API_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "msb/v1/exec.grpc.pb.h"
#include "msb/v1/files.grpc.pb.h"
#include "msb/v1/sandbox.grpc.pb.h"
#include "msb/v1/system.grpc.pb.h"
#include "msb/v1/volume.grpc.pb.h"
#include "supervisor/api/server.h"
#include "tests/support/supervisor/daemon_fixture.h"

namespace msb {

// How a call ended: OK has neither code nor reason.
struct CallEnd {
  grpc::StatusCode code = grpc::StatusCode::OK;
  std::string reason;  // "SANDBOX_NOT_FOUND"
  std::string message;

  bool ok() const { return code == grpc::StatusCode::OK; }
};
std::ostream& operator<<(std::ostream& stream, const CallEnd& end);
CallEnd EndOf(const grpc::ClientContext& context, const grpc::Status& status);

class ApiFixture : public testing::Test {
 protected:
  using ExecStream =
      std::unique_ptr<grpc::ClientReaderWriter<msb::v1::ExecRequest, msb::v1::ExecResponse>>;

  void SetUp() override;
  void TearDown() override;

  // A call that fails rather than waits for ever.
  static std::unique_ptr<grpc::ClientContext> NewContext();
  std::string socket() const { return daemon_.dir().path() + "/msbd.sock"; }
  std::shared_ptr<grpc::Channel> Connect() const;

  // One answer. `response` is what came with it.
  template <typename Stub, typename Request, typename Response>
  CallEnd Call(const std::unique_ptr<Stub>& stub,
               grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
               const Request& request, Response& response) {
    const auto context = NewContext();
    const grpc::Status status = ((*stub).*method)(context.get(), request, &response);
    return EndOf(*context, status);
  }
  template <typename Stub, typename Request, typename Response>
  CallEnd Call(const std::unique_ptr<Stub>& stub,
               grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
               const Request& request) {
    Response response;
    return Call(stub, method, request, response);
  }
  // All answers of a stream, and its end.
  template <typename Reader, typename Response>
  static CallEnd ReadAll(const grpc::ClientContext& context, Reader& reader,
                         std::vector<Response>& responses) {
    Response response;
    while (reader.Read(&response)) responses.push_back(response);
    return EndOf(context, reader.Finish());
  }

  // A running sandbox "box".
  void MakeBox();
  static msb::v1::ExecRequest StartOf(const std::string& script);

  DaemonFixture daemon_;
  std::unique_ptr<ApiServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<msb::v1::SandboxService::Stub> sandboxes_;
  std::unique_ptr<msb::v1::ExecService::Stub> execs_;
  std::unique_ptr<msb::v1::FileService::Stub> files_;
  std::unique_ptr<msb::v1::SystemService::Stub> system_;
  std::unique_ptr<msb::v1::VolumeService::Stub> volumes_;
};

// A request on the sandbox `name`, of any service.
template <typename Request>
Request On(const std::string& name) {
  Request request;
  request.set_sandbox(name);
  return request;
}

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_SUPERVISOR_API_API_FIXTURE_H_
