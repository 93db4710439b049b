// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "tests/support/supervisor/api/api_fixture.h"

namespace msb {
namespace {

namespace api = msb::v1;
using Stub = api::SandboxService::Stub;
using testing::HasSubstr;
using testing::Not;

class SandboxServiceTest : public ApiFixture {
 protected:
  CallEnd Create(const std::function<void(api::SandboxSpec&)>& fill, bool start = true) {
    api::CreateRequest request;
    fill(*request.mutable_spec());
    request.set_start(start);
    return Call(sandboxes_, &Stub::Create, request, made_);
  }
  // The creation is refused for `reason`, and nothing is left of it.
  void ExpectRefused(const std::string& reason,
                     const std::function<void(api::SandboxSpec&)>& fill) {
    const CallEnd end = Create(fill);
    EXPECT_EQ(end.reason, reason) << end;
    api::ListResponse list;
    EXPECT_TRUE(Call(sandboxes_, &Stub::List, api::ListRequest(), list).ok());
    EXPECT_EQ(list.sandboxes_size(), 0) << "something is left";
    EXPECT_EQ(daemon_.launcher().machines(), 0u);
  }
  api::Sandbox Get() {
    api::Sandbox box;
    const CallEnd end = Call(sandboxes_, &Stub::Get, On<api::GetRequest>("box"), box);
    EXPECT_TRUE(end.ok()) << end;
    return box;
  }

  api::Sandbox made_;
};

TEST_F(SandboxServiceTest, MakesASandboxThatRuns) {
  const CallEnd end = Create([](api::SandboxSpec& spec) { spec.set_name("box"); });

  ASSERT_TRUE(end.ok()) << end;
  EXPECT_EQ(made_.name(), "box");
  EXPECT_EQ(made_.state(), api::SANDBOX_STATE_RUNNING);
  EXPECT_EQ(made_.id().size(), 20u);
}

TEST_F(SandboxServiceTest, MakesUpANameForWhoGivesNone) {
  ASSERT_TRUE(Create([](api::SandboxSpec&) {}, /*start=*/false).ok());

  EXPECT_FALSE(made_.name().empty());
  EXPECT_EQ(made_.state(), api::SANDBOX_STATE_STOPPED);
}

TEST_F(SandboxServiceTest, TakesTheValuesOfSecretsAndShowsNone) {
  const auto with = [](const std::string& value) {
    return [value](api::SandboxSpec& spec) {
      spec.set_name("box");
      api::Secret& secret = *spec.add_secrets();
      secret.set_name("TOKEN");
      secret.set_value(value);
      secret.add_hosts("api.example.com");
    };
  };
  ExpectRefused("SECRET_INVALID", with("two\nlines"));

  const CallEnd end = Create(with("sk-live-0123456789"), /*start=*/false);

  ASSERT_TRUE(end.ok()) << end;
  ASSERT_EQ(made_.spec().secrets_size(), 1);
  EXPECT_EQ(made_.spec().secrets(0).name(), "TOKEN");
  EXPECT_FALSE(made_.spec().secrets(0).has_value());
  EXPECT_THAT(made_.SerializeAsString(), Not(HasSubstr("sk-live")));
}

TEST_F(SandboxServiceTest, RefusesAnImageThatIsNotThere) {
  ExpectRefused("IMAGE_NOT_FOUND", [](api::SandboxSpec& spec) { spec.set_image("nonesuch"); });
}

TEST_F(SandboxServiceTest, RefusesNamesThatAreNone) {
  for (const std::string& name :
       {std::string("a/b"), std::string("../x"), std::string(129, 'a'), std::string("-a"),
        std::string("A"), std::string("a b"), std::string("a\nb"), std::string("a\0b", 3)}) {
    ExpectRefused("INVALID_NAME", [&](api::SandboxSpec& spec) { spec.set_name(name); });
  }
}

TEST_F(SandboxServiceTest, TakesANameOf128Bytes) {
  EXPECT_TRUE(Create([](api::SandboxSpec& spec) { spec.set_name(std::string(128, 'a')); }).ok());
}

TEST_F(SandboxServiceTest, RefusesResourcesThatNoMachineHas) {
  const std::vector<std::function<void(api::Resources&)>> cases = {
      [](api::Resources& r) { r.set_memory_mib(1); },
      [](api::Resources& r) { r.set_memory_mib(UINT32_MAX); },
      [](api::Resources& r) { r.set_vcpus(33); },
      [](api::Resources& r) { r.set_disk_mib(15); },
      [](api::Resources& r) { r.set_disk_mib(UINT32_MAX); },
      [](api::Resources& r) { r.set_cpu_milli(1); },
  };
  for (const auto& fill : cases) {
    ExpectRefused("INVALID_RESOURCES",
                  [&](api::SandboxSpec& spec) { fill(*spec.mutable_resources()); });
  }
}

TEST_F(SandboxServiceTest, RefusesAnEngineThatIsNone) {
  ExpectRefused("INVALID_ARGUMENT",
                [](api::SandboxSpec& spec) { spec.set_engine(static_cast<api::Engine>(99)); });
}

TEST_F(SandboxServiceTest, RefusesALimitThatIsNoTime) {
  ExpectRefused("INVALID_ARGUMENT", [](api::SandboxSpec& spec) {
    spec.mutable_limits()->mutable_lifetime()->set_seconds(-1);
  });
}

TEST_F(SandboxServiceTest, RefusesANameThatIsTaken) {
  MakeBox();

  const CallEnd end = Create([](api::SandboxSpec& spec) { spec.set_name("box"); });

  EXPECT_EQ(end.code, grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(end.reason, "SANDBOX_NAME_TAKEN");
}

TEST_F(SandboxServiceTest, KeepsASandboxWhoseStartFailed) {
  daemon_.launcher().before_launch = [](const LaunchSpec&) {
    return MakeError(Reason::kJailFailed, "step 3");
  };

  const CallEnd end = Create([](api::SandboxSpec& spec) { spec.set_name("box"); });

  EXPECT_EQ(end.reason, "JAIL_FAILED") << end;
  EXPECT_EQ(Get().state(), api::SANDBOX_STATE_FAILED);
  EXPECT_EQ(Get().reason(), api::REASON_JAIL_FAILED);
}

TEST_F(SandboxServiceTest, KnowsNoSandboxOfAnUnknownName) {
  const auto refused = [](const CallEnd& end) {
    EXPECT_EQ(end.code, grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(end.reason, "SANDBOX_NOT_FOUND") << end;
  };
  for (const std::string& name :
       {std::string("nobody"), std::string(), std::string(1000, 'x'), std::string("a\0b", 3)}) {
    refused(Call(sandboxes_, &Stub::Get, On<api::GetRequest>(name)));
    refused(Call(sandboxes_, &Stub::Start, On<api::StartRequest>(name)));
    refused(Call(sandboxes_, &Stub::Stop, On<api::StopRequest>(name)));
    refused(Call(sandboxes_, &Stub::Pause, On<api::PauseRequest>(name)));
    refused(Call(sandboxes_, &Stub::Resume, On<api::ResumeRequest>(name)));
    refused(Call(sandboxes_, &Stub::Remove, On<api::RemoveRequest>(name)));
    refused(Call(sandboxes_, &Stub::Wait, On<api::WaitRequest>(name)));
    refused(Call(sandboxes_, &Stub::Update, On<api::UpdateRequest>(name)));
  }
}

TEST_F(SandboxServiceTest, CarriesASandboxThroughItsLife) {
  MakeBox();
  EXPECT_TRUE(Call(sandboxes_, &Stub::Pause, On<api::PauseRequest>("box")).ok());
  EXPECT_EQ(Get().state(), api::SANDBOX_STATE_PAUSED);
  EXPECT_TRUE(Call(sandboxes_, &Stub::Resume, On<api::ResumeRequest>("box")).ok());
  EXPECT_EQ(Get().state(), api::SANDBOX_STATE_RUNNING);
  EXPECT_TRUE(Call(sandboxes_, &Stub::Stop, On<api::StopRequest>("box")).ok());
  EXPECT_EQ(Get().state(), api::SANDBOX_STATE_STOPPED);
  EXPECT_TRUE(Call(sandboxes_, &Stub::Start, On<api::StartRequest>("box")).ok());
  EXPECT_EQ(Get().state(), api::SANDBOX_STATE_RUNNING);

  EXPECT_EQ(Call(sandboxes_, &Stub::Remove, On<api::RemoveRequest>("box")).reason,
            "SANDBOX_WRONG_STATE");
  auto force = On<api::RemoveRequest>("box");
  force.set_force(true);
  EXPECT_TRUE(Call(sandboxes_, &Stub::Remove, force).ok());
  EXPECT_EQ(daemon_.launcher().machines(), 0u);
}

TEST_F(SandboxServiceTest, RefusesVerbsThatDoNotFitTheState) {
  MakeBox();
  ASSERT_TRUE(Call(sandboxes_, &Stub::Stop, On<api::StopRequest>("box")).ok());

  EXPECT_EQ(Call(sandboxes_, &Stub::Pause, On<api::PauseRequest>("box")).reason,
            "SANDBOX_WRONG_STATE");
  EXPECT_EQ(Call(sandboxes_, &Stub::Resume, On<api::ResumeRequest>("box")).reason,
            "SANDBOX_WRONG_STATE");
  EXPECT_TRUE(Call(sandboxes_, &Stub::Stop, On<api::StopRequest>("box")).ok());
}

TEST_F(SandboxServiceTest, ListsByLabel) {
  for (const char* name : {"one", "two"}) {
    ASSERT_TRUE(Create(
                    [&](api::SandboxSpec& spec) {
                      spec.set_name(name);
                      (*spec.mutable_labels())["name"] = name;
                    },
                    /*start=*/false)
                    .ok());
  }
  api::ListRequest request;
  (*request.mutable_labels())["name"] = "two";

  api::ListResponse list;
  ASSERT_TRUE(Call(sandboxes_, &Stub::List, request, list).ok());

  ASSERT_EQ(list.sandboxes_size(), 1);
  EXPECT_EQ(list.sandboxes(0).name(), "two");
}

TEST_F(SandboxServiceTest, ChangesLabelsAndDisk) {
  MakeBox();
  auto request = On<api::UpdateRequest>("box");
  (*request.mutable_set_labels())["stage"] = "test";
  request.set_disk_mib(32);
  ASSERT_TRUE(Call(sandboxes_, &Stub::Update, request).ok());
  EXPECT_EQ(Get().spec().labels().at("stage"), "test");
  EXPECT_EQ(Get().spec().resources().disk_mib(), 32u);

  request.set_disk_mib(16);
  EXPECT_EQ(Call(sandboxes_, &Stub::Update, request).reason, "INVALID_RESOURCES");
  request.set_disk_mib(0);
  (*request.mutable_set_labels())["a=b"] = "";
  EXPECT_EQ(Call(sandboxes_, &Stub::Update, request).reason, "INVALID_ARGUMENT");
}

TEST_F(SandboxServiceTest, WaitsForAState) {
  MakeBox();
  auto request = On<api::WaitRequest>("box");
  request.add_states(api::SANDBOX_STATE_RUNNING);

  api::Sandbox box;
  ASSERT_TRUE(Call(sandboxes_, &Stub::Wait, request, box).ok());

  EXPECT_EQ(box.state(), api::SANDBOX_STATE_RUNNING);
}

TEST_F(SandboxServiceTest, TellsAConsolesLog) {
  MakeBox();
  const auto context = NewContext();
  const auto reader = sandboxes_->Logs(context.get(), On<api::LogsRequest>("box"));
  std::vector<api::LogsChunk> chunks;

  ASSERT_TRUE(ReadAll(*context, *reader, chunks).ok());

  ASSERT_FALSE(chunks.empty());
  EXPECT_THAT(chunks[0].data(), HasSubstr("console of"));
}

TEST_F(SandboxServiceTest, TellsMetricsOnce) {
  MakeBox();
  daemon_.launcher().usage.cpu_ns = 77;
  const auto context = NewContext();
  const auto reader = sandboxes_->GetMetrics(context.get(), On<api::GetMetricsRequest>("box"));
  std::vector<api::Metrics> metrics;

  ASSERT_TRUE(ReadAll(*context, *reader, metrics).ok());

  ASSERT_EQ(metrics.size(), 1u);
  EXPECT_EQ(metrics[0].cpu_usage_ns(), 77u);
}

TEST_F(SandboxServiceTest, StreamsOfAnUnknownSandboxEndWithTheReason) {
  const auto context = NewContext();
  const auto logs = sandboxes_->Logs(context.get(), On<api::LogsRequest>("nobody"));
  std::vector<api::LogsChunk> chunks;
  EXPECT_EQ(ReadAll(*context, *logs, chunks).reason, "SANDBOX_NOT_FOUND");

  const auto other = NewContext();
  const auto metrics = sandboxes_->GetMetrics(other.get(), On<api::GetMetricsRequest>("nobody"));
  std::vector<api::Metrics> answers;
  EXPECT_EQ(ReadAll(*other, *metrics, answers).reason, "SANDBOX_NOT_FOUND");
}

// A call of a client that has left is gRPC's: no second answer, and no word into what it has freed.
TEST_F(SandboxServiceTest, ClientsThatLeaveAtOnceHarmNothing) {
  MakeBox();
  auto wait = On<api::WaitRequest>("box");
  wait.add_states(api::SANDBOX_STATE_RUNNING);
  api::CreateRequest refused;
  api::Secret& secret = *refused.mutable_spec()->add_secrets();
  secret.set_name("KEY");
  secret.set_value("two\nlines");

  using Reader = std::unique_ptr<grpc::ClientAsyncResponseReader<api::Sandbox>>;
  struct Left {
    std::unique_ptr<grpc::ClientContext> context = NewContext();
    api::Sandbox sandbox;
    grpc::Status status;
    Reader reader;
  };
  constexpr int kRounds = 500;
  grpc::CompletionQueue queue;
  std::vector<Left> calls(2 * kRounds);
  for (size_t i = 0; i < calls.size(); ++i) {
    Left& call = calls[i];
    call.reader = i % 2 == 0 ? sandboxes_->AsyncWait(call.context.get(), wait, &queue)
                             : sandboxes_->AsyncCreate(call.context.get(), refused, &queue);
    call.reader->Finish(&call.sandbox, &call.status, &call);
    call.context->TryCancel();
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
  }
  EXPECT_EQ(Get().state(), api::SANDBOX_STATE_RUNNING);
}

}  // namespace
}  // namespace msb
