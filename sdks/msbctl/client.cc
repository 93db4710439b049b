// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/client.h"

#include <cerrno>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"
#include "msb/v1/error.pb.h"

namespace msb {
namespace {

// For output and files: data under way from the daemon that we have not read, and its pieces.
constexpr int kReceiveWindowBytes = 1 << 20;
constexpr int kHttp2FrameBytes = 256 << 10;
constexpr int kMaxMessageBytes = 20
                                 << 20;  // RunResponse: two streams of at most 16 MiB are cut there

// gRPC would say no more than "failed to connect to all addresses".
absl::Status CheckSocket(const std::string& path) {
  const absl::Status status = ConnectUnix(path, Blocking::kYes).status();
  if (status.ok()) return status;
  if (absl::IsPermissionDenied(status)) {
    return MakeError(Reason::kPermissionDenied,
                     absl::StrCat("you may not open the daemon's socket ", path,
                                  ": be root or a member of its group (sudo usermod -aG msb $USER, "
                                  "then log in again)"));
  }
  return MakeError(Reason::kDaemonUnreachable,
                   absl::StrCat("no daemon answers at ", path,
                                " (start it with: sudo msbctl daemon start): ", status.message()));
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path);
  std::string token;
  if (!file || !std::getline(file, token) || token.empty()) {
    return MakeError(Reason::kUnauthenticated,
                     path.empty()
                         ? std::string("a TCP address needs the daemon's token: give --token-file")
                         : absl::StrCat("cannot read the daemon's token from ", path));
  }
  return std::string(absl::StripAsciiWhitespace(token));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const Endpoint& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kReceiveWindowBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kHttp2FrameBytes);
  std::string target;
  std::string token;
  if (endpoint.address.empty()) {
    MSB_RETURN_IF_ERROR(CheckSocket(endpoint.socket));
    target = absl::StrCat("unix:", endpoint.socket);
    // A path is no valid :authority.
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  } else {
    target = endpoint.address;
    MSB_ASSIGN_OR_RETURN(token, ReadToken(endpoint.token_file));
  }
  const auto channel =
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  return std::unique_ptr<Client>(new Client(endpoint, channel, std::move(token)));
}

Client::Client(Endpoint endpoint, const std::shared_ptr<grpc::Channel>& channel, std::string token)
    : endpoint_(std::move(endpoint)),
      token_(std::move(token)),
      sandboxes_(msb::v1::SandboxService::NewStub(channel)),
      execs_(msb::v1::ExecService::NewStub(channel)),
      files_(msb::v1::FileService::NewStub(channel)),
      images_(msb::v1::ImageService::NewStub(channel)),
      networks_(msb::v1::NetworkService::NewStub(channel)),
      system_(msb::v1::SystemService::NewStub(channel)),
      volumes_(msb::v1::VolumeService::NewStub(channel)) {}

std::unique_ptr<grpc::ClientContext> Client::NewContext() const {
  auto context = std::make_unique<grpc::ClientContext>();
  if (!token_.empty()) context->AddMetadata("authorization", absl::StrCat("Bearer ", token_));
  return context;
}

absl::Status Client::Outcome(const grpc::Status& status, const grpc::ClientContext& context) {
  if (status.ok()) return absl::OkStatus();
  const auto& trailers = context.GetServerTrailingMetadata();
  if (const auto it = trailers.find("msb-reason"); it != trailers.end()) {
    msb::v1::Reason reason = msb::v1::REASON_UNSPECIFIED;
    msb::v1::Reason_Parse(
        absl::StrCat("REASON_", absl::string_view(it->second.data(), it->second.size())), &reason);
    if (reason != msb::v1::REASON_UNSPECIFIED) {
      return MakeError(ReasonFromNumber(reason), status.error_message());
    }
  }
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return MakeError(Reason::kDaemonUnreachable,
                     absl::StrCat("the connection to the daemon broke: ", status.error_message()));
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace msb
