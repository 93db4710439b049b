// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/matchers.h"
#include "tests/support/supervisor/daemon_fixture.h"

namespace msb {
namespace {

using msb::v1::SandboxSpec;
using testing::HasSubstr;

SandboxSpec Named(const std::string& name) {
  SandboxSpec spec;
  spec.set_name(name);
  return spec;
}

class RegistryTest : public testing::Test {
 protected:
  void SetUp() override { daemon_.Up(); }
  msb::v1::ListResponse List(const msb::v1::ListRequest& filter = {}) {
    return DaemonFixture::Await<msb::v1::ListResponse>(
        [&](auto done) { daemon_.registry().List(daemon_.caller, filter, done); });
  }

  DaemonFixture daemon_;
};

TEST_F(RegistryTest, FindsByIdNameAndPrefix) {
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(Named("box"), /*start=*/false));
  EXPECT_EQ(daemon_.Get(sandbox.id())->name(), "box");
  EXPECT_EQ(daemon_.Get("box")->id(), sandbox.id());
  EXPECT_EQ(daemon_.Get(sandbox.id().substr(0, 4))->id(), sandbox.id());
  EXPECT_THAT(daemon_.Get(sandbox.id().substr(0, 3)), HasReason(Reason::kSandboxNotFound));
  EXPECT_THAT(daemon_.Get(""), HasReason(Reason::kSandboxNotFound));
  EXPECT_THAT(daemon_.Get("other"), HasReason(Reason::kSandboxNotFound));
}

TEST_F(RegistryTest, ANameIsTakenUntilItsSandboxIsRemoved) {
  ASSERT_OK(daemon_.Create(Named("box"), false));
  EXPECT_THAT(daemon_.Create(Named("box"), false), HasReason(Reason::kSandboxNameTaken));
  ASSERT_OK(daemon_.Remove("box"));
  EXPECT_OK(daemon_.Create(Named("box"), false));
}

TEST_F(RegistryTest, MakesUpANameWhereNoneIsGiven) {
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create({}, false));
  EXPECT_THAT(sandbox.name(), HasSubstr("-"));
  EXPECT_EQ(sandbox.spec().name(), sandbox.name());
}

TEST_F(RegistryTest, AnotherUsersSandboxesAreNotThere) {
  daemon_.caller = {.uid = 1000, .sees_all = false};
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Create(Named("mine"), false));
  EXPECT_EQ(sandbox.owner_uid(), 1000u);
  daemon_.caller = {.uid = 1001, .sees_all = false};
  EXPECT_THAT(daemon_.Get("mine"), HasReason(Reason::kSandboxNotFound));
  EXPECT_THAT(daemon_.Get(sandbox.id()), HasReason(Reason::kSandboxNotFound));
  EXPECT_THAT(daemon_.Get(sandbox.id().substr(0, 8)), HasReason(Reason::kSandboxNotFound));
  EXPECT_EQ(List().sandboxes_size(), 0);
  daemon_.caller = {.uid = 0, .sees_all = true};
  EXPECT_OK(daemon_.Get("mine"));
  EXPECT_EQ(List().sandboxes_size(), 1);
}

TEST_F(RegistryTest, ListsNewestFirstWhatTheFilterAsksFor) {
  SandboxSpec labelled = Named("a");
  (*labelled.mutable_labels())["team"] = "red";
  ASSERT_OK(daemon_.Create(labelled, false));
  ASSERT_OK(daemon_.Create(Named("b"), false));
  ASSERT_OK(daemon_.Create(Named("c"), true));
  const auto all = List();
  ASSERT_EQ(all.sandboxes_size(), 3);
  EXPECT_EQ(all.sandboxes(0).name(), "c");
  EXPECT_EQ(all.sandboxes(2).name(), "a");
  msb::v1::ListRequest filter;
  (*filter.mutable_labels())["team"] = "red";
  EXPECT_EQ(List(filter).sandboxes_size(), 1);
  filter.add_states(msb::v1::SANDBOX_STATE_RUNNING);
  EXPECT_EQ(List(filter).sandboxes_size(), 0);
  filter.clear_labels();
  ASSERT_EQ(List(filter).sandboxes_size(), 1);
  EXPECT_EQ(List(filter).sandboxes(0).name(), "c");
}

TEST_F(RegistryTest, LimitsOnNumberAndMemoryHold) {
  daemon_.Crash();
  daemon_.config().limits.max_sandboxes = 3;
  daemon_.config().limits.max_total_memory_mib = 1000;
  daemon_.Up();
  ASSERT_OK(daemon_.Create(Named("a")));
  EXPECT_THAT(daemon_.Create(Named("b")), HasReason(Reason::kLimitExceeded));
  ASSERT_OK(daemon_.Create(Named("b"), false));
  EXPECT_THAT(daemon_.Start("b"), HasReason(Reason::kLimitExceeded));
  ASSERT_OK(daemon_.Stop("a"));
  EXPECT_OK(daemon_.Start("b"));
  ASSERT_OK(daemon_.Create(Named("c"), false));
  EXPECT_THAT(daemon_.Create(Named("d"), false), HasReason(Reason::kLimitExceeded));
}

TEST_F(RegistryTest, AnImageThatIsNotThereMakesNoSandbox) {
  SandboxSpec spec = Named("box");
  spec.set_image("other");
  EXPECT_THAT(daemon_.Create(spec), HasReason(Reason::kImageNotFound));
  EXPECT_THAT(daemon_.Get("box"), HasReason(Reason::kSandboxNotFound));
  EXPECT_OK(daemon_.Create(Named("box"), false));
}

TEST_F(RegistryTest, AMissingAssetIsNamedAtTheStart) {
  std::filesystem::remove(daemon_.assets() + "/vmlinux");
  const auto sandbox = daemon_.Create(Named("box"));
  EXPECT_THAT(sandbox, HasReason(Reason::kAssetMissing));
  EXPECT_THAT(std::string(sandbox.status().message()), HasSubstr("assets/vmlinux"));
}

TEST_F(RegistryTest, UpdateChangesLabelsAndLimitsAndSurvivesARestart) {
  SandboxSpec spec = Named("box");
  (*spec.mutable_labels())["old"] = "x";
  ASSERT_OK(daemon_.Create(spec, false));
  msb::v1::UpdateRequest changes;
  (*changes.mutable_set_labels())["new"] = "y";
  changes.add_remove_labels("old");
  changes.mutable_limits()->mutable_lifetime()->set_seconds(77);
  const auto update = [&](const auto& held, const Sandbox::Done& done) {
    done(held->Update(changes));
  };
  ASSERT_OK(daemon_.Do("box", update));
  daemon_.Crash();
  daemon_.Up();
  ASSERT_OK_AND_ASSIGN(const auto sandbox, daemon_.Get("box"));
  EXPECT_EQ(sandbox.spec().labels().size(), 1u);
  EXPECT_EQ(sandbox.spec().labels().at("new"), "y");
  EXPECT_EQ(sandbox.spec().limits().lifetime().seconds(), 77);
  (*changes.mutable_set_labels())["bad key"] = "";
  EXPECT_THAT(daemon_.Do("box", update), HasReason(Reason::kInvalidArgument));
}

}  // namespace
}  // namespace msb
