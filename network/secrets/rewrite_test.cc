// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Requests and answers of a connection that secrets may go into, without sockets.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "network/policy/secret_host.h"
#include "network/secrets/http_head.h"
#include "network/secrets/request_rewriter.h"
#include "network/secrets/response_mask.h"
#include "tests/support/matchers.h"

namespace msb::net {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kMark = std::string(kPlaceholderPrefix) + "0123456789abcdef0123456789abcdef";
const std::string kOther = std::string(kPlaceholderPrefix) + "ffffffffffffffffffffffffffffffff";

class RewriterTest : public testing::Test {
 protected:
  // What the host gets, with the guest's bytes in pieces of `piece`; "!" and why when refused.
  std::string Rewrite(const std::string& in, size_t piece = std::string::npos) {
    used_.clear();
    withheld_.clear();
    spelled_.clear();
    RequestRewriter rewriter("api.example.com", 443, substitutes_, limits_, Handlers());
    std::string out;
    for (size_t at = 0; at < in.size(); at += std::min(piece, in.size() - at)) {
      const absl::Status status =
          rewriter.Feed(absl::string_view(in).substr(at, std::min(piece, in.size() - at)), out);
      if (!status.ok()) return absl::StrCat("!", status.message());
    }
    return out;
  }
  // The same, whatever the pieces are.
  std::string RewriteAnyhow(const std::string& in) {
    const std::string whole = Rewrite(in);
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{41}}) {
      EXPECT_EQ(Rewrite(in, piece), whole) << "in pieces of " << piece;
    }
    return whole;
  }
  RequestRewriter::Handlers Handlers() {
    return {.on_used = [this](const Substitute& secret) { used_.push_back(secret.name); },
            .on_spelled = [this](absl::string_view text) { spelled_.emplace_back(text); },
            .on_withheld =
                [this](const Substitute& secret, absl::string_view why) {
                  withheld_.push_back(absl::StrCat(secret.name, ": ", why));
                }};
  }

  std::vector<Substitute> substitutes_ = {
      {.name = "TOKEN", .placeholder = kMark, .value = "a/b \"c\"", .allowed = true},
      {.name = "OTHER", .placeholder = kOther, .value = "never", .allowed = false}};
  RequestLimits limits_;
  std::vector<std::string> used_;
  std::vector<std::string> spelled_;
  std::vector<std::string> withheld_;
};

std::string Get(const std::string& target, const std::string& fields) {
  return absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: api.example.com\r\n", fields, "\r\n");
}

TEST_F(RewriterTest, SpellsAValueAsItsPlaceAsks) {
  EXPECT_EQ(RewriteAnyhow(Get("/?k=" + kMark, "X: " + kMark + "\r\n")),
            Get("/?k=a%2Fb%20%22c%22", "X: a/b \"c\"\r\n"));
  EXPECT_THAT(used_, ElementsAre("TOKEN")) << "once a request";
  EXPECT_EQ(
      RewriteAnyhow(Get("/", "Authorization: Basic " + absl::Base64Escape("u:" + kMark) + "\r\n")),
      Get("/", "Authorization: Basic " + absl::Base64Escape("u:a/b \"c\"") + "\r\n"));
  EXPECT_THAT(spelled_, ElementsAre("a/b \"c\"", absl::Base64Escape("u:a/b \"c\"")));
}

TEST_F(RewriterTest, CorrectsTheLengthOfAHeldBody) {
  const std::string body = "{\"k\":\"" + kMark + "\"}";
  const auto post = [](const std::string& type, const std::string& content) {
    return absl::StrCat("POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: ", type,
                        "\r\nContent-Length: ", content.size(), "\r\n\r\n", content);
  };
  EXPECT_EQ(RewriteAnyhow(post("application/json", body)),
            post("application/json", "{\"k\":\"a/b \\\"c\\\"\"}"));
  EXPECT_EQ(RewriteAnyhow(post("application/octet-stream", body)),
            post("application/octet-stream", body));
  // Two requests, the second behind the first one's body.
  EXPECT_EQ(RewriteAnyhow(post("text/plain", kMark) + Get("/" + kMark, "")),
            post("text/plain", "a/b \"c\"") + Get("/a%2Fb%20%22c%22", ""));
}

TEST_F(RewriterTest, ALongBodyPassesInItsPieces) {
  const std::string body(limits_.max_body_bytes + 1, 'x');
  const std::string request = absl::StrCat(
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: text/plain\r\nContent-Length: ",
      body.size(), "\r\n\r\n", body);
  EXPECT_EQ(Rewrite(request, 5000), request);
}

TEST_F(RewriterTest, TheLimitsAreThoseThatItIsGiven) {
  const auto post = [](const std::string& body) {
    return absl::StrCat(
        "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: text/plain\r\n"
        "Content-Length: ",
        body.size(), "\r\n\r\n", body);
  };
  const std::string filler(kMark.size(), 'x');
  limits_ = {.max_head_bytes = 120, .max_body_bytes = kMark.size()};
  EXPECT_THAT(Rewrite(post(kMark)), Not(HasSubstr(kMark)));
  EXPECT_THAT(Rewrite(post(kMark + "x")), HasSubstr(kMark));
  EXPECT_THAT(Rewrite(Get("/", "X: " + filler + "\r\n")), HasSubstr(filler));
  EXPECT_THAT(Rewrite(Get("/", "X: " + filler + filler + "\r\n")), HasSubstr("max_head_kib"));
  limits_ = {.max_head_bytes = 1 << 20, .max_body_bytes = 0};
  EXPECT_THAT(Rewrite(post(kMark)), HasSubstr(kMark));
  EXPECT_THAT(Rewrite(Get("/", "X: " + std::string(70'000, 'x') + "\r\n")), HasSubstr("xxx"));
}

TEST_F(RewriterTest, TellsOfEachSecretOnceARequest) {
  const std::string request = Get("/" + kMark + kMark, "X: " + kMark + "\r\nY: " + kOther +
                                                           "\r\nZ: " + kOther + kMark + "\r\n");
  RewriteAnyhow(request + request);
  EXPECT_THAT(used_, ElementsAre("TOKEN", "TOKEN"));
  EXPECT_THAT(withheld_, ElementsAre(HasSubstr("OTHER"), HasSubstr("OTHER")));
}

TEST_F(RewriterTest, ARequestHasRoomForSoManyBytesOfValues) {
  const std::string spelled = "a%2Fb%20%22c%22";
  const std::string request = Get("/" + kMark + "/" + kMark + "/" + kMark, "");
  limits_.max_value_bytes = 2 * spelled.size();
  EXPECT_EQ(RewriteAnyhow(request), Get("/" + spelled + "/" + spelled + "/" + kMark, ""));
  EXPECT_THAT(withheld_, ElementsAre(HasSubstr("[secrets] max_values_kib")));
  // The next one has as much again.
  EXPECT_EQ(RewriteAnyhow(request + Get("/" + kMark, "")),
            Get("/" + spelled + "/" + spelled + "/" + kMark, "") + Get("/" + spelled, ""));
  limits_.max_value_bytes = 2 * spelled.size() - 1;
  EXPECT_EQ(RewriteAnyhow(request), Get("/" + spelled + "/" + kMark + "/" + kMark, ""));
}

TEST_F(RewriterTest, ManyPlaceholdersOfALongValueStayAMegabyte) {
  const std::string value(16384, '/');
  substitutes_[0].value = value;
  std::string target;
  while (target.size() < limits_.max_head_bytes - 1000) target += "/" + kMark;
  EXPECT_LT(Rewrite(Get(target, "")).size(), limits_.max_value_bytes + limits_.max_head_bytes);
}

TEST_F(RewriterTest, ReplacesAcrossChunksAndDropsExtensionsAndTrailers) {
  const std::string head =
      "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: text/plain\r\n"
      "Transfer-Encoding: chunked\r\n\r\n";
  const std::string in =
      absl::StrCat(head, "5;x=y\r\n", kMark.substr(0, 5), "\r\n25\r\n", kMark.substr(5),
                   "\r\n0\r\nX-Trailer: 1\r\n\r\n", Get("/", ""));
  const std::string out = RewriteAnyhow(in);
  EXPECT_EQ(out, absl::StrCat(head, "7\r\na/b \"c\"\r\n0\r\n\r\n", Get("/", "")));
}

TEST_F(RewriterTest, ASecretForAnotherHostGoesOutAsItIs) {
  const std::string request = Get("/" + kOther, "X: " + kOther + "\r\n");
  EXPECT_EQ(RewriteAnyhow(request), request);
  EXPECT_THAT(used_, IsEmpty());
  EXPECT_THAT(withheld_, ElementsAre("OTHER: it may not go to api.example.com"));
}

TEST_F(RewriterTest, ARequestForAnotherHostGoesOutAsItIs) {
  for (const std::string& request : std::vector<std::string>{
           "GET / HTTP/1.1\r\nHost: evil.org\r\nX: " + kMark + "\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: api.example.com:8443\r\nX: " + kMark + "\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: api.example.com.evil.org\r\nX: " + kMark + "\r\n\r\n",
           "GET / HTTP/1.0\r\nX: " + kMark + "\r\n\r\n",
           "GET https://evil.org/ HTTP/1.1\r\nHost: api.example.com\r\nX: " + kMark + "\r\n\r\n",
           "GET https://api.example.com@evil.org/ HTTP/1.1\r\nHost: api.example.com\r\nX: " +
               kMark + "\r\n\r\n",
           "GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nX: " + kMark +
               "\r\n\r\n",
           "CONNECT evil.org:443 HTTP/1.1\r\nHost: api.example.com\r\nX: " + kMark + "\r\n\r\n"}) {
    EXPECT_EQ(RewriteAnyhow(request), request);
    EXPECT_THAT(used_, IsEmpty());
    EXPECT_THAT(withheld_, testing::SizeIs(1));
  }
}

TEST_F(RewriterTest, TheSameHostInOtherWordsIsTheSame) {
  for (const char* head : {"GET / HTTP/1.1\r\nhOST:   API.example.COM:443  \r\n",
                           "GET https://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n",
                           "\r\n\r\nGET / HTTP/1.1\r\nHost: api.example.com\r\n"}) {
    EXPECT_THAT(RewriteAnyhow(absl::StrCat(head, "X: ", kMark, "\r\n\r\n")), HasSubstr("a/b"));
  }
}

TEST_F(RewriterTest, NothingIsReplacedBehindAnUpgrade) {
  const std::string head =
      Get("/", "Upgrade: websocket\r\nConnection: Upgrade\r\nX: " + kMark + "\r\n");
  const std::string behind = "\x81\x05" + kMark + Get("/" + kMark, "");
  const std::string out = RewriteAnyhow(head + behind);
  EXPECT_EQ(out,
            Get("/", "Upgrade: websocket\r\nConnection: Upgrade\r\nX: a/b \"c\"\r\n") + behind);
}

TEST_F(RewriterTest, RefusesWhatCanBeReadInTwoWays) {
  const std::string host = "Host: api.example.com\r\n";
  for (const std::string& request : std::vector<std::string>{
           "GET / HTTP/1.1\r\n" + host + host + "\r\n",
           "GET / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + "Content-Length: 1, 1\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + "Content-Length: +1\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + "Content-Length: 0x1\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host +
               "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
           "GET / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + " folded\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + "X: a\rb\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + "X: a\nb: c\r\n\r\n",
           "GET / HTTP/1.1\r\n" + host + std::string("X: a\0b\r\n\r\n", 10),
           "GET  / HTTP/1.1\r\n" + host + "\r\n",
           "GET / HTTP/1.1 \r\n" + host + "\r\n",
           "GET /\t HTTP/1.1\r\n" + host + "\r\n",
           "G@T / HTTP/1.1\r\n" + host + "\r\n",
           "GET / HTTP/2.0\r\n" + host + "\r\n",
           "GET /\r\n\r\n",
           " GET / HTTP/1.1\r\n\r\n",
           "GET / HTTP/1.1\n" + host + "\n\n",
           "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
           "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1 \r\n",
           "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n",
           "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
           "GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n" +
               std::string(300, '0') + "\r\n",
           "GET / HTTP/1.1\r\n" + host + "X: " + std::string(limits_.max_head_bytes, 'x')}) {
    EXPECT_THAT(Rewrite(request), testing::StartsWith("!")) << request.substr(0, 200);
    EXPECT_THAT(Rewrite(request, 1), testing::StartsWith("!")) << request.substr(0, 200);
  }
}

TEST_F(RewriterTest, WhatOnlyLooksLikeAPlaceholderStays) {
  const std::string almost = kMark.substr(0, kMark.size() - 1);
  for (const std::string& text :
       std::vector<std::string>{almost + "X", "msb" + kMark.substr(0, 20), kMark.substr(1),
                                std::string(kPlaceholderPrefix) + almost}) {
    EXPECT_EQ(RewriteAnyhow(Get("/" + text, "")), Get("/" + text, ""));
  }
  // One begins where another only seemed to.
  EXPECT_EQ(RewriteAnyhow(Get("/" + std::string(kPlaceholderPrefix) + kMark, "")),
            Get("/" + std::string(kPlaceholderPrefix) + "a%2Fb%20%22c%22", ""));
}

// --- answers ---

std::string Mask(const std::vector<std::string>& patterns, const std::string& in, size_t piece) {
  ResponseMask mask;
  for (const std::string& pattern : patterns) mask.Add(pattern);
  std::string out;
  for (size_t at = 0; at < in.size(); at += piece) {
    mask.Feed(absl::string_view(in).substr(at, piece), out);
  }
  mask.Finish(out);
  return out;
}

TEST(ResponseMaskTest, OverwritesWhatWasSentHoweverItComes) {
  for (const size_t piece : {1, 2, 3, 7, 100}) {
    EXPECT_EQ(Mask({"abcabcabd"}, "xabcabcabcabdyabcabcab", piece), "xabc*********yabcabcab");
    EXPECT_EQ(Mask({"aaaaaaaa"}, "aaaaaaaaaa", piece), "**********");
    EXPECT_EQ(Mask({"12345678", "56789abc"}, "_123456789abc_", piece), "_************_");
    EXPECT_EQ(Mask({"short"}, "short", piece), "short");
  }
}

TEST(ResponseMaskTest, HoldsNothingBackThatIsNoBeginning) {
  ResponseMask mask;
  mask.Add("a-secret-value");
  std::string out;
  mask.Feed("data: tick\n\n", out);
  EXPECT_EQ(out, "data: tick\n\n");
  mask.Feed("a-sec", out);
  EXPECT_EQ(out, "data: tick\n\n");
}

// --- hosts ---

TEST(SecretHostTest, MatchesNamesBelowAndNothingElse) {
  ASSERT_OK_AND_ASSIGN(const SecretHost below, ParseSecretHost("*.Example.com:8443"));
  EXPECT_TRUE(below.Matches("a.example.com", 8443));
  EXPECT_TRUE(below.Matches("b.a.example.com", 8443));
  for (const char* name : {"example.com", ".example.com", "aexample.com", "example.com.evil.org"}) {
    EXPECT_FALSE(below.Matches(name, 8443)) << name;
  }
  EXPECT_FALSE(below.Matches("a.example.com", 443));
  EXPECT_EQ(below.ToString(), "*.example.com:8443");
}

}  // namespace
}  // namespace msb::net
