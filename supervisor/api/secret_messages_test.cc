// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/secret_messages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/matchers.h"

namespace msb {
namespace {

namespace api = msb::v1;

constexpr char kValue[] = "sk-live-0123456789abcdef0123456789abcdef";

template <typename Request, typename Response>
void ExpectWipedBehindTheFirstLook() {
  SecretMessages<Request, Response> messages;
  auto* const holder = messages.AllocateMessages();
  api::Secret& secret = *SecretsOf(*holder->request()).Add();
  secret.set_name("TOKEN");
  secret.set_value(kValue);
  secret.add_hosts("api.example.com");
  const char* const memory = secret.value().data();

  holder->FreeRequest();

  EXPECT_EQ(secret.value(), "");
  EXPECT_TRUE(std::all_of(memory, memory + sizeof(kValue), [](char c) { return c == '\0'; }))
      << "the string keeps its memory";
  EXPECT_EQ(secret.name(), "TOKEN");
  EXPECT_EQ(secret.hosts_size(), 1);
  holder->Release();
}

TEST(SecretMessagesTest, ValuesGoAndTheRestOfARequestStays) {
  ExpectWipedBehindTheFirstLook<api::CreateRequest, api::Sandbox>();
  ExpectWipedBehindTheFirstLook<api::StartRequest, api::Sandbox>();
  ExpectWipedBehindTheFirstLook<api::UpdateSecretsRequest, api::UpdateSecretsResponse>();
}

TEST(SecretMessagesTest, ACopyOfTheValuesOutlivesThem) {
  SecretMessages<api::StartRequest, api::Sandbox> messages;
  auto* const holder = messages.AllocateMessages();
  api::Secret& secret = *SecretsOf(*holder->request()).Add();
  secret.set_name("TOKEN");
  secret.set_value(kValue);

  ASSERT_OK_AND_ASSIGN(const SecretValues values, CopySecretValues(holder->request()->secrets()));
  holder->Release();

  EXPECT_EQ(values.at("TOKEN")->view(), kValue);
}

}  // namespace
}  // namespace msb
