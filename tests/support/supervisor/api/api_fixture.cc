// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/supervisor/api/api_fixture.h"

#include <chrono>
#include <ostream>

#include "tests/support/matchers.h"

namespace msb {
namespace {

constexpr std::chrono::seconds kCallLimit(120);

}  // namespace

std::ostream& operator<<(std::ostream& stream, const CallEnd& end) {
  return stream << end.code << " " << end.reason << ": " << end.message;
}

CallEnd EndOf(const grpc::ClientContext& context, const grpc::Status& status) {
  CallEnd end{.code = status.error_code(), .reason = "", .message = status.error_message()};
  const auto& trailer = context.GetServerTrailingMetadata();
  if (const auto reason = trailer.find("msb-reason"); reason != trailer.end()) {
    end.reason.assign(reason->second.data(), reason->second.size());
  }
  return end;
}

void ApiFixture::SetUp() {
  Config& config = daemon_.config();
  config.daemon.socket = socket();
  config.daemon.tcp_address = "";
  config.daemon.shutdown_grace = absl::ZeroDuration();
  daemon_.Up();
  auto server = ApiServer::Start(config, daemon_.registry());
  ASSERT_OK(server);
  server_ = *std::move(server);
  channel_ = Connect();
  sandboxes_ = msb::v1::SandboxService::NewStub(channel_);
  execs_ = msb::v1::ExecService::NewStub(channel_);
  files_ = msb::v1::FileService::NewStub(channel_);
  system_ = msb::v1::SystemService::NewStub(channel_);
  volumes_ = msb::v1::VolumeService::NewStub(channel_);
}

void ApiFixture::TearDown() {
  if (server_ != nullptr) server_->Shutdown();
  daemon_.Crash();
  server_.reset();
}

std::unique_ptr<grpc::ClientContext> ApiFixture::NewContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + kCallLimit);
  return context;
}

std::shared_ptr<grpc::Channel> ApiFixture::Connect() const {
  return grpc::CreateChannel("unix:" + socket(), grpc::InsecureChannelCredentials());
}

void ApiFixture::MakeBox() {
  msb::v1::CreateRequest request;
  request.mutable_spec()->set_name("box");
  const CallEnd end = Call(sandboxes_, &msb::v1::SandboxService::Stub::Create, request);
  ASSERT_TRUE(end.ok()) << end;
}

msb::v1::ExecRequest ApiFixture::StartOf(const std::string& script) {
  msb::v1::ExecRequest request;
  request.mutable_start()->set_sandbox("box");
  for (const std::string& word : {std::string("/bin/sh"), std::string("-c"), script}) {
    request.mutable_start()->add_argv(word);
  }
  return request;
}

}  // namespace msb
