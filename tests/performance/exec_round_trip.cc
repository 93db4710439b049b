// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// usage: msb-exec-round-trip SOCKET SANDBOX COUNT PROGRAM [ARGUMENT...]
// Runs the program COUNT times through the daemon's API on one connection; prints the nanoseconds
// from the call to the exit code, a line each.

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/time/clock.h"
#include "msb/v1/exec.grpc.pb.h"

namespace {

bool RunOnce(msb::v1::ExecService::Stub& stub, const msb::v1::ExecRequest& first) {
  grpc::ClientContext context;
  const auto stream = stub.Exec(&context);
  stream->Write(first);
  stream->WritesDone();
  msb::v1::ExecResponse response;
  bool exited = false;
  while (stream->Read(&response)) exited |= response.has_exited();
  const grpc::Status status = stream->Finish();
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.error_message().c_str());
  return status.ok() && exited;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  grpc::ChannelArguments arguments;
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  const auto stub = msb::v1::ExecService::NewStub(grpc::CreateCustomChannel(
      std::string("unix:") + argv[1], grpc::InsecureChannelCredentials(), arguments));
  msb::v1::ExecRequest first;
  first.mutable_start()->set_sandbox(argv[2]);
  for (int i = 4; i < argc; ++i) first.mutable_start()->add_argv(argv[i]);
  for (int left = std::atoi(argv[3]); left > 0; --left) {
    const int64_t start = absl::GetCurrentTimeNanos();
    if (!RunOnce(*stub, first)) return 1;
    std::printf("%lld\n", static_cast<long long>(absl::GetCurrentTimeNanos() - start));
  }
  return 0;
}
