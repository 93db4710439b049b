// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/json.h"

#include <gtest/gtest.h>

#include <limits>

#include "msb/v1/files.pb.h"
#include "msb/v1/sandbox.pb.h"
#include "msb/v1/system.pb.h"

namespace msb {
namespace {

TEST(JsonTest, EnumsAreTheWordsOfTheTables) {
  EXPECT_EQ(WordOf(msb::v1::SANDBOX_STATE_RUNNING), "running");
  EXPECT_EQ(WordOf(msb::v1::ENGINE_QEMU), "qemu");
  EXPECT_EQ(WordOf(msb::v1::REASON_VMM_DIED), "VMM_DIED");
  EXPECT_EQ(WordOf(msb::v1::Check::RESULT_OK), "ok");
  EXPECT_EQ(WordOf(msb::v1::ENGINE_UNSPECIFIED), "");
  EXPECT_EQ(WordOf(static_cast<msb::v1::Engine>(99)), "99");
}

TEST(JsonTest, ALineHasEveryScalarAndLeavesOutMessagesThatAreNotSet) {
  msb::v1::StateChange change;
  change.set_from(msb::v1::SANDBOX_STATE_RUNNING);
  change.set_reason(msb::v1::REASON_IDLE_TIMEOUT);
  msb::v1::Event event;
  event.set_sequence(std::numeric_limits<uint64_t>::max());
  *event.mutable_state_change() = change;

  EXPECT_EQ(ToJsonLine(event),
            R"({"sequence":18446744073709551615,"sandbox_id":"","sandbox_name":"",)"
            R"("state_change":{"from":"running","to":"","reason":"IDLE_TIMEOUT","detail":""}})"
            "\n");
}

TEST(JsonTest, SeveralLinesAreIndented) {
  msb::v1::ListRequest request;
  (*request.mutable_labels())["b"] = "2";
  (*request.mutable_labels())["a"] = "1";
  request.add_states(msb::v1::SANDBOX_STATE_PAUSED);

  EXPECT_EQ(ToJson(request),
            "{\n  \"labels\": {\n    \"a\": \"1\",\n    \"b\": \"2\"\n  },\n"
            "  \"states\": [\n    \"paused\"\n  ]\n}\n");
  EXPECT_EQ(ToJson(msb::v1::ListRequest()), "{\n  \"labels\": {},\n  \"states\": []\n}\n");
}

TEST(JsonTest, TimesAndDurationsAreTextOfTheirOwnKind) {
  msb::v1::Sandbox sandbox;
  sandbox.mutable_created_at()->set_seconds(1'795'429'860);
  sandbox.mutable_created_at()->set_nanos(500'000'000);
  EXPECT_NE(ToJsonLine(sandbox).find(R"("created_at":"2026-11-23T10:31:00.5Z")"), std::string::npos)
      << ToJsonLine(sandbox);

  msb::v1::StartStage stage;
  stage.mutable_since_request()->set_nanos(21'506);
  EXPECT_EQ(ToJsonLine(stage), "{\"name\":\"\",\"since_request\":\"0.000021506s\"}\n");
  stage.mutable_since_request()->set_seconds(90);
  stage.mutable_since_request()->set_nanos(0);
  EXPECT_EQ(ToJsonLine(stage), "{\"name\":\"\",\"since_request\":\"90s\"}\n");
}

TEST(JsonTest, WhatAGuestWroteCanNeitherEndTheTextNorDriveTheTerminal) {
  msb::v1::GetRequest request;
  request.set_sandbox("a\"b\\c\n\x1b[2J\u009b\xff\u017e");

  EXPECT_EQ(ToJsonLine(request),
            "{\"sandbox\":\"a\\\"b\\\\c\\n\\u001b[2J\\u009b\\ufffd\u017e\"}\n");
}

TEST(JsonTest, ASecretOfAnAnswerHasNoValue) {
  msb::v1::Secret secret;
  secret.set_name("TOKEN");
  secret.add_hosts("api.example.com");

  EXPECT_EQ(ToJsonLine(secret),
            "{\"name\":\"TOKEN\",\"hosts\":[\"api.example.com\"],\"placeholder\":\"\"}\n");
}

TEST(JsonTest, BytesAreBase64) {
  msb::v1::LogsChunk chunk;
  chunk.set_data(std::string("\0\xff", 2));

  EXPECT_EQ(ToJsonLine(chunk), "{\"data\":\"AP8=\"}\n");
}

}  // namespace
}  // namespace msb
