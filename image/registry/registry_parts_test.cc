// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The pure parts of the registry's client.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <string>

#include "base/error.h"
#include "image/registry/address_rules.h"
#include "image/registry/blob_download.h"
#include "image/registry/challenge.h"
#include "image/registry/retry.h"
#include "image/registry/url.h"
#include "tests/support/matchers.h"

namespace msb::image {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

Reach ReachOfText(const std::string& text) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    return ReachOf(*reinterpret_cast<const sockaddr*>(&v4));
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  EXPECT_EQ(::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr), 1) << text;
  return ReachOf(*reinterpret_cast<const sockaddr*>(&v6));
}

TEST(AddressRulesTest, KnowsHowNearAnAddressIs) {
  for (const char* text : {"8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2606:4700::1",
                           "::ffff:8.8.8.8", "2002:0808:0808::1", "64:ff9b::8.8.8.8"}) {
    EXPECT_EQ(ReachOfText(text), Reach::kPublic) << text;
  }
  for (const char* text :
       {"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd12::1",
        "::ffff:10.0.0.1", "2002:0a00:0001::1", "198.19.0.1", "64:ff9b::192.168.0.1"}) {
    EXPECT_EQ(ReachOfText(text), Reach::kPrivate) << text;
  }
  for (const char* text : {"127.0.0.1", "127.255.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1",
                           "::127.0.0.1", "2002:7f00:0001::"}) {
    EXPECT_EQ(ReachOfText(text), Reach::kLoopback) << text;
  }
  for (const char* text : {"169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254",
                           "224.0.0.1", "255.255.255.255", "ff02::1", "100.100.100.200",
                           "168.63.129.16", "64:ff9b::169.254.169.254"}) {
    EXPECT_EQ(ReachOfText(text), Reach::kForbidden) << text;
  }
}

TEST(AddressRulesTest, NothingNearerThanTheEndpointIsConnectedTo) {
  EXPECT_TRUE(MayConnect(Reach::kPublic, Reach::kPublic));
  EXPECT_FALSE(MayConnect(Reach::kPublic, Reach::kPrivate));
  EXPECT_FALSE(MayConnect(Reach::kPrivate, Reach::kLoopback));
  EXPECT_TRUE(MayConnect(Reach::kLoopback, Reach::kPublic));
  EXPECT_FALSE(MayConnect(Reach::kLoopback, Reach::kForbidden));
  EXPECT_FALSE(MayConnect(Reach::kForbidden, Reach::kForbidden));
}

TEST(UrlTest, TakesApartAndPutsTogether) {
  for (const std::string text : {"https://registry.example/v2/", "http://localhost:5000/a?b=c",
                                 "https://[::1]:8443/", "https://a.example:443x"}) {
    const auto url = ParseUrl(text);
    if (text.back() == 'x') {
      EXPECT_THAT(url, HasReason(Reason::kImagePullFailed));
    } else {
      ASSERT_OK(url);
      EXPECT_EQ(url->ToString(), text);
    }
  }
  ASSERT_OK_AND_ASSIGN(const Url url, ParseUrl("HTTPS://Auth.Docker.IO?x=1#fragment"));
  EXPECT_EQ(url.ToString(), "https://auth.docker.io/?x=1");
}

TEST(UrlTest, RefusesWhatCouldMeanSomethingElse) {
  for (const std::string text :
       {"", "registry.example", "ftp://a/", "https:///x", "https://user@a/", "https://a:0/",
        "https://a:65536/", "https://a:-1/", "https://a:/", "https://a b/", "https://a/\r\nX: y",
        "https://a/\x01", "https://a/\xc3\xa4", "https://[::1/", "https://[g]/", "https://a:80:80/",
        "https://a\\b/"}) {
    EXPECT_THAT(ParseUrl(text), HasReason(Reason::kImagePullFailed)) << text;
  }
  EXPECT_THAT(ParseUrl("https://a/" + std::string(20'000, 'x')),
              HasReason(Reason::kImagePullFailed));
}

TEST(UrlTest, ResolvesReferences) {
  ASSERT_OK_AND_ASSIGN(const Url base, ParseUrl("https://a.example:8443/v2/x/blobs/y?z=1"));
  const std::pair<const char*, const char*> cases[] = {
      {"http://b/", "http://b/"},
      {"//b/c", "https://b/c"},
      {"/c?d", "https://a.example:8443/c?d"},
      {"c", "https://a.example:8443/v2/x/blobs/c"},
      {"/c:d", "https://a.example:8443/c:d"},
  };
  for (const auto& [reference, expected] : cases) {
    ASSERT_OK_AND_ASSIGN(const Url url, ResolveReference(base, reference));
    EXPECT_EQ(url.ToString(), expected);
  }
  EXPECT_THAT(ResolveReference(base, "javascript:alert(1)"), HasReason(Reason::kImagePullFailed));
}

TEST(UrlTest, EndpointsAreHostsAndPorts) {
  ASSERT_OK_AND_ASSIGN(const Url url, UrlOfEndpoint("registry.example:5000", /*tls=*/true));
  EXPECT_EQ(url.ToString(), "https://registry.example:5000/");
  for (const char* text : {"", "a/b", "http://a", "a:b", "a@b"}) {
    EXPECT_THAT(UrlOfEndpoint(text, true), HasReason(Reason::kImagePullFailed)) << text;
  }
}

TEST(UrlTest, EncodesAQuery) { EXPECT_EQ(PercentEncode("a b:/&=%~"), "a%20b%3A%2F%26%3D%25~"); }

TEST(ChallengeTest, ReadsADockerChallenge) {
  const auto challenges =
      ParseChallenges(R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",)"
                      R"(scope="repository:library/debian:pull,push")");
  ASSERT_THAT(challenges, SizeIs(1));
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_EQ(challenges[0].Get("realm"), "https://auth.docker.io/token");
  EXPECT_EQ(challenges[0].Get("service"), "registry.docker.io");
  EXPECT_EQ(challenges[0].Get("scope"), "repository:library/debian:pull,push");
  EXPECT_EQ(challenges[0].Get("other"), "");
}

TEST(ChallengeTest, ReadsSeveralAndOddSpelling) {
  const auto challenges =
      ParseChallenges(R"(, Negotiate abc==, BASIC  Realm = "a \"quoted\" one" , bearer realm=x)");
  ASSERT_THAT(challenges, SizeIs(3));
  EXPECT_EQ(challenges[0].scheme, "negotiate");
  EXPECT_EQ(challenges[1].scheme, "basic");
  EXPECT_EQ(challenges[1].Get("realm"), R"(a "quoted" one)");
  EXPECT_EQ(challenges[2].Get("realm"), "x");
}

TEST(ChallengeTest, SurvivesGarbage) {
  EXPECT_THAT(ParseChallenges(""), IsEmpty());
  EXPECT_THAT(ParseChallenges(",,, ,"), IsEmpty());
  EXPECT_THAT(ParseChallenges("\x01\x02"), IsEmpty());
  EXPECT_EQ(ParseChallenges("Bearer realm=\"open").at(0).Get("realm"), "open");
  EXPECT_THAT(ParseChallenges(std::string(10'000, 'a') + "=\"" + std::string(10'000, '\\')),
              testing::Not(IsEmpty()));
}

TEST(ContentRangeTest, IsReadExactly) {
  const auto range = ParseContentRange("bytes 5-9/10");
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->first, 5u);
  EXPECT_EQ(range->total, 10u);
  EXPECT_FALSE(ParseContentRange("bytes 5-9/*")->total.has_value());
  for (const char* text :
       {"", "bytes */10", "bytes 9-5/10", "bytes 5-9/9", "bytes -1-2/3", "bytes 5-9",
        "items 5-9/10", "bytes 5-9/10x", "bytes 5-99999999999999999999/*"}) {
    EXPECT_FALSE(ParseContentRange(text).has_value()) << text;
  }
}

TEST(RetryTest, WaitsLongerEachTimeAndAsLongAsTheServerSays) {
  const absl::Status failure = MakeError(Reason::kImagePullFailed, "x");
  EXPECT_FALSE(RetryDelay(failure, 1).has_value());
  EXPECT_LE(*RetryDelay(Transient(failure), 1), absl::Milliseconds(250));
  EXPECT_GE(*RetryDelay(Transient(failure), 4), absl::Seconds(1));
  EXPECT_LE(*RetryDelay(Transient(failure), 100), absl::Seconds(8));
  EXPECT_EQ(*RetryDelay(TransientAfter(failure, absl::Seconds(7)), 1), absl::Seconds(7));
  EXPECT_FALSE(RetryDelay(TransientAfter(failure, absl::Hours(1)), 1).has_value());
}

}  // namespace
}  // namespace msb::image
