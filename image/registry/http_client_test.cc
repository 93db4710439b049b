// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "image/registry/fake_server.h"
#include "image/registry/retry.h"
#include "tests/support/matchers.h"

namespace msb::image {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kMax = 1 << 20;

class HttpClientTest : public testing::Test {
 protected:
  HttpClient Client(const FakeServer& server, TlsTrust trust = {}) {
    absl::StatusOr<TlsContext> tls = TlsContext::Create(trust);
    EXPECT_OK(tls);
    tls_ = std::make_unique<TlsContext>(*std::move(tls));
    return HttpClient(server.origin(), *tls_,
                      {.connect = absl::Seconds(5), .stall = absl::Milliseconds(300)},
                      cancellation_);
  }

  static HttpRequest Get(const FakeServer& server, const std::string& target = "/") {
    HttpRequest request{.url = server.origin()};
    request.url.target = target;
    return request;
  }

  Cancellation cancellation_;
  std::unique_ptr<TlsContext> tls_;
};

// A server whose every answer is `raw`.
FakeServer::Handler Raw(const std::string& raw) {
  return [raw](const FakeRequest&) { return FakeReply{.raw = raw}; };
}

TEST_F(HttpClientTest, KeepsAConnectionForTheNextRequest) {
  FakeServer server([](const FakeRequest& request) { return FakeReply{.body = request.target}; });
  HttpClient client = Client(server);

  for (const std::string target : {"/a", "/b", "/c"}) {
    ASSERT_OK_AND_ASSIGN(const auto document,
                         client.FetchDocument(Get(server, target), kMax, "it"));
    EXPECT_EQ(document.body, target);
  }

  EXPECT_EQ(server.connections(), 1);
}

TEST_F(HttpClientTest, ConnectsAgainWhenTheServerHasClosedAnIdleConnection) {
  FakeServer server([](const FakeRequest&) { return FakeReply{.body = "x"}; });
  HttpClient client = Client(server);
  ASSERT_OK(client.FetchDocument(Get(server), kMax, "it"));

  server.CloseIdle();

  EXPECT_OK(client.FetchDocument(Get(server), kMax, "it"));
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(HttpClientTest, ReadsChunksInformationAndTheEndOfTheStream) {
  for (const std::string raw :
       {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: t\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"}) {
    FakeServer server(Raw(raw));
    HttpClient client = Client(server);
    ASSERT_OK_AND_ASSIGN(const auto document, client.FetchDocument(Get(server), kMax, "it"));
    EXPECT_EQ(document.body, "hello") << raw;
  }
}

TEST_F(HttpClientTest, RefusesWhatIsNoHttpOrHasNoEnd) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  for (const std::string& raw :
       {std::string("SSH-2.0-OpenSSH\r\n"), std::string("\r\n\r\n\r\n"),
        ok + "Content-Length: -1\r\n\r\n",
        ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
        ok + "A: " + std::string(100'000, 'a'), ok + std::string(50'000, 'a'),
        "HTTP/1.1 200 " + std::string(100'000, 'a'),
        ok + "Transfer-Encoding: chunked\r\n\r\n5;" + std::string(300'000, 'a'),
        ok + "Content-Length: 10\r\n\r\nhello", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        ok, std::string("HTTP/1.1 200")}) {
    FakeServer server(Raw(raw));
    HttpClient client = Client(server);
    EXPECT_THAT(client.FetchDocument(Get(server), kMax, "it"), HasReason(Reason::kImagePullFailed))
        << raw.substr(0, 60);
  }
}

TEST_F(HttpClientTest, RefusesAHeadOfVeryManyFields) {
  std::string raw = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&raw, "A", i, ": b\r\n");
  FakeServer server(Raw(raw + "\r\n"));
  HttpClient client = Client(server);
  EXPECT_THAT(client.FetchDocument(Get(server), kMax, "it"), HasReason(Reason::kImagePullFailed));
}

TEST_F(HttpClientTest, RefusesInformationWithoutEnd) {
  std::string raw;
  for (int i = 0; i < 20; ++i) raw += "HTTP/1.1 102 Processing\r\n\r\n";
  FakeServer server(Raw(raw));
  HttpClient client = Client(server);
  EXPECT_THAT(client.FetchDocument(Get(server), kMax, "it"), HasReason(Reason::kImagePullFailed));
}

TEST_F(HttpClientTest, RefusesADocumentThatIsTooLarge) {
  for (const bool announced : {true, false}) {
    FakeServer server([&](const FakeRequest&) {
      return FakeReply{
          .body = std::string(1000, 'x'),
          .announced_length = announced ? std::optional<uint64_t>(1 << 30) : std::nullopt,
          .without_length = !announced,
          .endless = true};
    });
    HttpClient client = Client(server);
    EXPECT_THAT(client.FetchDocument(Get(server), kMax, "it"), HasReason(Reason::kImageTooLarge));
  }
}

TEST_F(HttpClientTest, GivesUpOnABodyThatTricklesAndOnSilence) {
  // A byte now and then keeps a connection alive, but is no progress.
  FakeServer trickle([](const FakeRequest&) {
    return FakeReply{.body = std::string(1000, 'x'), .pause = absl::Milliseconds(20)};
  });
  FakeServer silence(
      [](const FakeRequest&) { return FakeReply{.body = "x", .pause = absl::Seconds(2)}; });
  for (const FakeServer* server : {&trickle, &silence}) {
    HttpClient client = Client(*server);
    const auto result = client.FetchDocument(Get(*server), kMax, "it");
    EXPECT_THAT(result, HasReason(Reason::kImagePullFailed));
    EXPECT_TRUE(IsTransient(result.status()));
  }
}

TEST_F(HttpClientTest, ReadsOnlyTheBeginningOfAnErrorsBody) {
  FakeServer server([](const FakeRequest&) {
    return FakeReply{
        .status = 500, .body = std::string(1000, 'x'), .without_length = true, .endless = true};
  });
  HttpClient client = Client(server);
  ASSERT_OK_AND_ASSIGN(const auto document, client.FetchDocument(Get(server), kMax, "it"));
  EXPECT_EQ(document.answer.head.status, 500);
  EXPECT_EQ(document.answer.error_body.size(), 16u * 1024);
}

TEST_F(HttpClientTest, FollowsRedirectsButKeepsTheAuthorizationAtHome) {
  FakeServer other([](const FakeRequest&) { return FakeReply{.body = "blob"}; });
  FakeServer server([&](const FakeRequest& request) {
    if (request.target == "/") return FakeReply{.status = 302, .fields = {{"Location", "/here"}}};
    return FakeReply{.status = 307,
                     .fields = {{"Location", absl::StrCat("http://", other.host(), "/b?sig=1")}}};
  });
  HttpClient client = Client(server);
  HttpRequest request = Get(server);
  request.authorization = "Bearer secret";

  ASSERT_OK_AND_ASSIGN(const auto document, client.FetchDocument(request, kMax, "it"));

  EXPECT_EQ(document.body, "blob");
  ASSERT_THAT(server.requests(), SizeIs(2));
  EXPECT_EQ(server.requests()[1].Get("authorization"), "Bearer secret");
  ASSERT_THAT(other.requests(), SizeIs(1));
  EXPECT_EQ(other.requests()[0].target, "/b?sig=1");
  EXPECT_EQ(other.requests()[0].Get("authorization"), "");
}

TEST_F(HttpClientTest, ABodyIsNotSentOnToAnotherHost) {
  FakeServer other([](const FakeRequest&) { return FakeReply{}; });
  FakeServer server([&](const FakeRequest&) {
    return FakeReply{.status = 307,
                     .fields = {{"Location", absl::StrCat("http://", other.host(), "/")}}};
  });
  HttpClient client = Client(server);
  HttpRequest request = Get(server);
  request.method = "POST";
  request.body = "refresh_token=secret";
  EXPECT_THAT(client.FetchDocument(request, kMax, "it"), HasReason(Reason::kImagePullFailed));
  EXPECT_THAT(other.requests(), IsEmpty());
}

TEST_F(HttpClientTest, RefusesRedirectsWithoutEndAndToOddPlaces) {
  for (const std::string location :
       {"/again", "ftp://127.0.0.1/x", "http://user@127.0.0.1/", "http://169.254.169.254/latest",
        "http://[fe80::1]/", "file:///etc/passwd", "http://127.0.0.1:99999/"}) {
    FakeServer server([&](const FakeRequest&) {
      return FakeReply{.status = 302, .fields = {{"Location", location}}};
    });
    HttpClient client = Client(server);
    const auto result = client.FetchDocument(Get(server), kMax, "it");
    EXPECT_THAT(result, HasReason(Reason::kImagePullFailed)) << location;
    EXPECT_FALSE(IsTransient(result.status())) << location;
  }
}

TEST_F(HttpClientTest, TrustsAnExtraCertificateAndNoOther) {
  const FakeCertificate certificate = MakeFakeCertificate();
  FakeServer server([](const FakeRequest&) { return FakeReply{.body = "secret"}; },
                    certificate.server_context);

  HttpClient trusting = Client(server, {.extra_ca_pem = certificate.pem});
  ASSERT_OK_AND_ASSIGN(const auto document, trusting.FetchDocument(Get(server), kMax, "it"));
  EXPECT_EQ(document.body, "secret");

  HttpClient careful = Client(server, {.extra_ca_pem = MakeFakeCertificate().pem});
  const auto refused = careful.FetchDocument(Get(server), kMax, "it");
  EXPECT_THAT(refused, HasReason(Reason::kImagePullFailed));
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("not trusted"));
  EXPECT_FALSE(IsTransient(refused.status()));

  HttpClient careless = Client(server, {.verify = false});
  EXPECT_OK(careless.FetchDocument(Get(server), kMax, "it"));
}

TEST_F(HttpClientTest, RefusesACertificateForAnotherName) {
  const FakeCertificate certificate = MakeFakeCertificate();
  FakeServer server([](const FakeRequest&) { return FakeReply{}; }, certificate.server_context);
  HttpClient client = Client(server, {.extra_ca_pem = certificate.pem});
  HttpRequest request = Get(server);
  request.url.host = "127.0.0.2";  // of the same loopback
  EXPECT_THAT(client.FetchDocument(request, kMax, "it"), HasReason(Reason::kImagePullFailed));
  EXPECT_THAT(server.requests(), IsEmpty());
}

TEST_F(HttpClientTest, SaysWhenTheServerSpeaksNoTls) {
  FakeServer server([](const FakeRequest&) { return FakeReply{}; });
  ASSERT_OK_AND_ASSIGN(const TlsContext tls, TlsContext::Create({}));
  Url endpoint = server.origin();
  endpoint.tls = true;
  HttpClient client(endpoint, tls, {}, cancellation_);
  const auto result = client.FetchDocument({.url = endpoint}, kMax, "it");
  EXPECT_THAT(result, HasReason(Reason::kImagePullFailed));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("plain HTTP"));
}

TEST_F(HttpClientTest, RefusesARedirectFromTlsToPlainHttp) {
  const FakeCertificate certificate = MakeFakeCertificate();
  FakeServer plain([](const FakeRequest&) { return FakeReply{}; });
  FakeServer server(
      [&](const FakeRequest&) {
        return FakeReply{.status = 302,
                         .fields = {{"Location", absl::StrCat("http://", plain.host(), "/")}}};
      },
      certificate.server_context);
  HttpClient client = Client(server, {.extra_ca_pem = certificate.pem});
  EXPECT_THAT(client.FetchDocument(Get(server), kMax, "it"), HasReason(Reason::kImagePullFailed));
  EXPECT_THAT(plain.requests(), IsEmpty());
}

TEST_F(HttpClientTest, AForeignHostMayNotLeadToLoopback) {
  FakeServer server([](const FakeRequest&) { return FakeReply{.body = "of this host"}; });
  // A client whose endpoint is elsewhere, and has not been reached yet: all but public is too near.
  FakeServer endpoint([](const FakeRequest&) { return FakeReply{}; });
  HttpClient client = Client(endpoint);
  const auto result = client.FetchDocument(Get(server), kMax, "it");
  EXPECT_THAT(result, HasReason(Reason::kImagePullFailed));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("nearer to this host"));
  EXPECT_THAT(server.requests(), IsEmpty());
}

TEST_F(HttpClientTest, EndsAtOnceWhenCancelled) {
  FakeServer server(
      [](const FakeRequest&) { return FakeReply{.body = "x", .pause = absl::Seconds(2)}; });
  HttpClient client = Client(server);
  cancellation_.Cancel();
  EXPECT_TRUE(absl::IsCancelled(client.FetchDocument(Get(server), kMax, "it").status()));
}

TEST_F(HttpClientTest, RefusesAnExtraCaThatIsNone) {
  EXPECT_THAT(TlsContext::Create({.extra_ca_pem = "no pem"}), HasReason(Reason::kInvalidArgument));
  const std::string pem = MakeFakeCertificate().pem;
  EXPECT_THAT(TlsContext::Create({.extra_ca_pem = pem + "-----BEGIN CERTIFICATE-----\nx\n"}),
              HasReason(Reason::kInvalidArgument));
  EXPECT_OK(TlsContext::Create({.extra_ca_pem = pem + pem}));
}

}  // namespace
}  // namespace msb::image
