// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Changes of a sandbox's network and secrets that come at the same time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/unix_socket.h"
#include "msb/net/v1/net.pb.h"
#include "msb/net/v1/secrets.pb.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/daemon_fixture.h"
#include "tests/support/supervisor/fake_control.h"

namespace msb {
namespace {

using msb::net::v1::ControlRequest;
using msb::net::v1::SecretsRequest;
using testing::ElementsAre;
using testing::SizeIs;

// How long somebody who should wait is given to show that it does not.
constexpr absl::Duration kAMoment = absl::Milliseconds(200);

auto AllOk() { return testing::Each(testing::Property(&absl::Status::ok, true)); }

class NetworkChangesTest : public testing::Test {
 protected:
  using FakeNet = FakeControl<ControlRequest, msb::net::v1::ControlResponse>;
  using FakeSecrets = FakeControl<SecretsRequest, msb::net::v1::SecretsResponse>;

  void SetUp() override {
    FakeLauncher& launcher = daemon_.launcher();
    launcher.companions = {kNetworkCompanion, kSecretsCompanion};
    launcher.after_launch = [this](FakeMachine& machine) {
      const LaunchPlan plan = daemon_.launcher().Plan(machine.spec().id, machine.spec().slot);
      wire_ = *ListenUnix(plan.link_socket);
      net_.emplace(PathsOf(plan, kNetworkCompanion).control_socket,
                   [this](const ControlRequest& request) { OnRequest(request); });
      secrets_.emplace(PathsOf(plan, kSecretsCompanion).control_socket,
                       [](const SecretsRequest&) {});
      machine.Boot();
    };
    daemon_.Up();
  }
  void TearDown() override { daemon_.Crash(); }

  void CreateBox(const std::vector<std::string>& secrets = {}) {
    msb::v1::SandboxSpec spec;
    spec.set_name("box");
    for (const std::string& name : secrets) *spec.add_secrets() = Secret(name, "a value");
    ASSERT_OK(daemon_.Create(spec));
    const std::lock_guard lock(mutex_);
    happened_.clear();
  }
  static msb::v1::Secret Secret(const std::string& name, const std::string& value) {
    msb::v1::Secret secret;
    secret.set_name(name);
    secret.set_value(value);
    secret.add_hosts("example.com");
    return secret;
  }

  void OnRequest(const ControlRequest& request) {
    const std::string what = request.has_set_policy()    ? request.set_policy().preset()
                             : request.has_set_secrets() ? "secrets"
                                                         : "";
    if (!what.empty()) Happens(what);
    if (hold_ != nullptr) return hold_->WaitForNotification();
    overlapped_ = overlapped_ || (!what.empty() && net_->AnotherAsks(kAMoment));
  }
  void Happens(const std::string& what) {
    const std::lock_guard lock(mutex_);
    happened_.push_back(what);
  }
  std::vector<std::string> happened() {
    const std::lock_guard lock(mutex_);
    return happened_;
  }

  // Calls all the verbs, one after the other, without waiting for any; returns what they say.
  using Verb = std::function<void(const std::shared_ptr<Sandbox>&, Sandbox::Done)>;
  std::vector<absl::Status> AtOnce(const std::vector<Verb>& verbs) {
    std::vector<absl::Status> answers(verbs.size(), absl::UnknownError("none"));
    std::atomic<size_t> left = verbs.size();
    absl::Notification all;
    daemon_.registry().With(daemon_.caller, "box", [&](Registry::Found found) {
      for (size_t i = 0; i < verbs.size(); ++i) {
        verbs[i](*found, [&, i](absl::Status status) {
          answers[i] = std::move(status);
          if (--left == 0) all.Notify();
        });
      }
    });
    all.WaitForNotification();
    return answers;
  }
  static Verb SetPreset(const std::string& preset) {
    return [preset](const std::shared_ptr<Sandbox>& sandbox, Sandbox::Done done) {
      msb::v1::Network network;
      network.set_preset(preset);
      sandbox->UpdateNetwork(network, std::move(done));
    };
  }
  static Verb Restart() {
    return [](const std::shared_ptr<Sandbox>& sandbox, Sandbox::Done done) {
      sandbox->RestartNetwork(std::move(done));
    };
  }

  DaemonFixture daemon_;
  std::mutex mutex_;
  std::vector<std::string> happened_;
  std::atomic<bool> overlapped_ = false;
  std::unique_ptr<absl::Notification> hold_;  // requests are not answered before
  UniqueFd wire_;
  std::optional<FakeNet> net_;
  std::optional<FakeSecrets> secrets_;
};

TEST_F(NetworkChangesTest, AreMadeOneAfterTheOther) {
  CreateBox();

  EXPECT_THAT(AtOnce({SetPreset("all"), SetPreset("none"), SetPreset("public")}), AllOk());

  EXPECT_FALSE(overlapped_) << "a second question while the first was not answered";
  EXPECT_THAT(happened(), ElementsAre("all", "none", "public"));
  EXPECT_EQ(daemon_.Get("box")->spec().network().preset(), "public");
}

TEST_F(NetworkChangesTest, APolicyThatIsGivenDuringARestartIsThatOfTheNewProcess) {
  CreateBox();
  daemon_.launcher().before_companion = [this](const CompanionSpec& spec) {
    msb::net::v1::NetSpec net;
    if (!net.ParseFromString(spec.input)) return;
    overlapped_ = overlapped_ || net_->AnotherAsks(kAMoment);
    Happens(absl::StrCat("started with ", net.policy().preset()));
  };

  EXPECT_THAT(AtOnce({Restart(), SetPreset("none"), Restart()}), AllOk());

  EXPECT_FALSE(overlapped_);
  EXPECT_THAT(happened(), ElementsAre("started with public", "none", "started with none"));
  EXPECT_EQ(daemon_.Get("box")->companions(0).state(), msb::v1::COMPANION_STATE_RUNNING);
}

TEST_F(NetworkChangesTest, ASecretThatIsRemovedStaysSo) {
  CreateBox({"GONE", "KEPT"});
  const Verb remove = [](const std::shared_ptr<Sandbox>& sandbox, Sandbox::Done done) {
    sandbox->UpdateSecrets({}, {"GONE"}, {}, std::move(done));
  };
  const Verb update = [](const std::shared_ptr<Sandbox>& sandbox, Sandbox::Done done) {
    SecretList set;
    *set.Add() = Secret("KEPT", "another value");
    absl::StatusOr<SecretValues> values = TakeSecretValues(set);
    sandbox->UpdateSecrets(set, {}, *std::move(values), std::move(done));
  };

  EXPECT_THAT(AtOnce({remove, update}), AllOk());

  const msb::v1::Sandbox box = *daemon_.Get("box");
  ASSERT_THAT(box.spec().secrets(), SizeIs(1));
  EXPECT_EQ(box.spec().secrets(0).name(), "KEPT");
}

TEST_F(NetworkChangesTest, ValuesForASandboxThatIsStartingAreRefused) {
  CreateBox({"TOKEN"});
  ASSERT_OK(daemon_.Stop("box"));
  const auto start = [](SecretValues values) -> Verb {
    return [values](const std::shared_ptr<Sandbox>& sandbox, Sandbox::Done done) {
      sandbox->Start(std::move(done), values);
    };
  };
  const SecretValues values = {{"TOKEN", std::make_shared<const SecretBytes>("another value")}};

  const std::vector<absl::Status> answers = AtOnce({start({}), start(values), start({})});

  EXPECT_OK(answers[0]);
  EXPECT_THAT(answers[1], HasReason(Reason::kSandboxWrongState));
  EXPECT_OK(answers[2]);
}

TEST_F(NetworkChangesTest, ADeadProcessIsClearedUpBeforeAnotherTakesItsPlace) {
  CreateBox();
  absl::Notification clearing;
  absl::Notification started;
  daemon_.launcher().before_end = [&] {
    if (clearing.HasBeenNotified()) return;
    clearing.Notify();
    started.WaitForNotificationWithTimeout(kAMoment);
    Happens("cleared");
  };
  daemon_.launcher().before_companion = [&](const CompanionSpec&) {
    Happens("started");
    started.Notify();
  };
  daemon_.launcher().EndOfCompanion(daemon_.Get("box")->id(), kNetworkCompanion,
                                    /*orderly=*/false, "it died");
  clearing.WaitForNotification();

  EXPECT_THAT(AtOnce({Restart()}), AllOk());

  EXPECT_THAT(happened(), ElementsAre("cleared", "started"));
  EXPECT_EQ(daemon_.Get("box")->companions(0).state(), msb::v1::COMPANION_STATE_RUNNING);
}

TEST_F(NetworkChangesTest, WhatARestartStartedInVainIsEndedAgain) {
  daemon_.launcher().companions.clear();  // none whose end the sandbox would see to
  CreateBox({"TOKEN"});
  const msb::v1::Sandbox box = *daemon_.Get("box");
  FakeLauncher& launcher = daemon_.launcher();
  const LaunchPlan plan = launcher.Plan(box.id(), 0);
  const SecretValues values = {{"TOKEN", std::make_shared<const SecretBytes>("a value")}};

  secrets_.reset();
  RestartedNetwork restarted =
      RestartNetworkProcesses(launcher, daemon_.config(), plan, box.spec(), &values);
  EXPECT_OK(restarted.network);
  EXPECT_FALSE(restarted.secrets->ok());
  EXPECT_TRUE(launcher.HasCompanion(plan, kNetworkCompanion));
  EXPECT_FALSE(launcher.HasCompanion(plan, kSecretsCompanion));

  secrets_.emplace(PathsOf(plan, kSecretsCompanion).control_socket, [](const SecretsRequest&) {});
  net_.reset();  // it does not take the socket to the secrets
  restarted = RestartNetworkProcesses(launcher, daemon_.config(), plan, box.spec(), &values);
  EXPECT_FALSE(restarted.network.ok());
  EXPECT_FALSE(launcher.HasCompanion(plan, kNetworkCompanion));
  EXPECT_FALSE(launcher.HasCompanion(plan, kSecretsCompanion));

  wire_.Reset();
  restarted = RestartNetworkProcesses(launcher, daemon_.config(), plan, box.spec(), nullptr);
  EXPECT_FALSE(restarted.network.ok());
  EXPECT_FALSE(launcher.HasCompanion(plan, kNetworkCompanion));
}

TEST_F(NetworkChangesTest, OneThatOutlivesItsSandboxIsAnsweredAndNotWrittenDown) {
  CreateBox();
  hold_ = std::make_unique<absl::Notification>();
  absl::Status answer;
  absl::Notification answered;
  daemon_.registry().With(daemon_.caller, "box", [&](Registry::Found found) {
    SetPreset("all")(*found, [&](absl::Status status) {
      answer = std::move(status);
      answered.Notify();
    });
  });
  ASSERT_OK(daemon_.Remove("box", /*force=*/true));

  hold_->Notify();
  answered.WaitForNotification();

  EXPECT_THAT(answer, HasReason(Reason::kSandboxNotFound));
  daemon_.Crash();
  SandboxStore store = daemon_.OpenStore();
  EXPECT_THAT(*store.LoadAll(), testing::IsEmpty());
}

}  // namespace
}  // namespace msb
