// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Whole pulls from a registry that misbehaves.

#include "image/registry/pull.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/socket.h>

#include <atomic>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/frames.h"
#include "image/registry/fake_registry.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb::image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;

const std::string kLayer(300'000, 'l');

bool IsBlob(const FakeRequest& request, const Digest& digest) {
  return absl::EndsWith(request.target, digest.text());
}

class PullTest : public testing::Test {
 protected:
  PullTest() : manifest_(registry_.AddImage({kLayer})) {
    job_.set_registry(registry_.server().host());
    job_.set_repository("team/tool");
    job_.set_reference("1.0");
    job_.set_os("linux");
    job_.set_architecture("amd64");
    AddEndpoint(registry_.server().host());
    limits_.stall_timeout = absl::Milliseconds(500);
    limits_.max_attempts = 3;
  }

  v1::Endpoint& AddEndpoint(const std::string& host) {
    v1::Endpoint& endpoint = *job_.add_endpoints();
    endpoint.set_host(host);
    endpoint.set_plain_http(true);
    endpoint.set_send_credentials(true);
    return endpoint;
  }

  absl::StatusOr<v1::JobDone> Pull() {
    int sockets[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    const UniqueFd ours(sockets[0]);
    events_.clear();
    std::thread reader([&] {
      while (true) {
        auto frame = ReadFrame(ours.get(), absl::InfiniteFuture(), kMaxEventBytes);
        if (!frame.ok() || !frame->has_value()) return;
        v1::JobEvent& event = events_.emplace_back();
        EXPECT_TRUE(event.ParseFromString(**frame));
        if (take_away_ && event.has_blob_done()) {
          std::filesystem::remove(staging_.path() + "/" +
                                  Digest::Parse(event.blob_done())->file_name());
        }
      }
    });
    absl::StatusOr<v1::JobDone> done = [&] {
      EventChannel channel{UniqueFd(sockets[1])};
      job_.set_blob_directory_fd(::open(staging_.path().c_str(), O_RDONLY | O_DIRECTORY));
      return PullImage(job_, limits_, channel);
    }();
    reader.join();
    return done;
  }

  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(staging_.path())) {
      names.insert(entry.path().filename());
    }
    return names;
  }
  const Digest& layer() const { return manifest_.layers[0].digest; }
  std::string LayerOnDisk() const { return staging_.Read(layer().file_name()); }

  // How often the layer was asked for.
  int LayerRequests() {
    int count = 0;
    for (const FakeRequest& request : registry_.server().requests()) {
      count += IsBlob(request, layer()) ? 1 : 0;
    }
    return count;
  }

  // The layer's requests are answered so; nullopt: as they should be.
  void AnswerLayer(std::function<std::optional<FakeReply>(int number)> answer) {
    registry_.intercept =
        [this, answer = std::move(answer)](const FakeRequest& request) -> std::optional<FakeReply> {
      return IsBlob(request, layer()) ? answer(++layer_number_) : std::nullopt;
    };
  }

  FakeRegistry registry_;
  Manifest manifest_;
  TempDir staging_;
  v1::PullJob job_;
  Limits limits_;
  bool take_away_ = false;  // each blob that is announced, as the daemon does
  std::vector<v1::JobEvent> events_;
  std::atomic<int> layer_number_ = 0;
};

TEST_F(PullTest, FetchesManifestConfigurationAndLayers) {
  ASSERT_OK_AND_ASSIGN(const v1::JobDone done, Pull());

  EXPECT_EQ(done.bytes(), kLayer.size() + manifest_.config.size);
  EXPECT_THAT(Files(),
              UnorderedElementsAre(layer().file_name(), manifest_.config.digest.file_name()));
  EXPECT_EQ(LayerOnDisk(), kLayer);
  ASSERT_TRUE(events_[0].has_manifest());
  EXPECT_EQ(events_[0].manifest().manifest(), WriteManifest(manifest_));
  EXPECT_EQ(events_.back().blob_done(), layer().text());
}

TEST_F(PullTest, NeedsNothingThatItHasAnnounced) {
  take_away_ = true;
  manifest_ = registry_.AddImage({kLayer, "other", kLayer});
  for (int times = 0; times < 20; ++times) ASSERT_OK(Pull());
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(PullTest, FetchesALayerOnceThatIsThereTwice) {
  manifest_ = registry_.AddImage({kLayer, "other", kLayer});
  ASSERT_OK(Pull());
  EXPECT_EQ(LayerRequests(), 1);
}

TEST_F(PullTest, GoesOnWhereAConnectionBrokeOff) {
  AnswerLayer([](int number) -> std::optional<FakeReply> {
    if (number > 1) return std::nullopt;
    return FakeReply{.body = kLayer, .cut_after = 100'000};
  });
  ASSERT_OK_AND_ASSIGN(const v1::JobDone done, Pull());
  EXPECT_EQ(LayerOnDisk(), kLayer);
  EXPECT_EQ(done.bytes(), kLayer.size() + manifest_.config.size);
  EXPECT_EQ(registry_.server().requests().back().Get("range"), "bytes=100000-");
}

TEST_F(PullTest, BeginsAgainWhenTheServerKnowsNoRanges) {
  AnswerLayer([](int number) {
    return FakeReply{.body = kLayer,
                     .cut_after = number == 1 ? std::optional<size_t>(100'000) : std::nullopt};
  });
  ASSERT_OK(Pull());
  EXPECT_EQ(LayerOnDisk(), kLayer);
}

TEST_F(PullTest, BeginsAgainWhenTheRangeIsAnotherOrNotThere) {
  for (const int status : {206, 416}) {
    layer_number_ = 0;
    std::filesystem::remove(staging_.path() + "/" + layer().file_name());
    AnswerLayer([&](int number) -> std::optional<FakeReply> {
      if (number == 1) return FakeReply{.body = kLayer, .cut_after = 100'000};
      if (number > 2) return std::nullopt;
      return FakeReply{
          .status = status, .fields = {{"Content-Range", "bytes 7-8/300000"}}, .body = "xx"};
    });
    ASSERT_OK(Pull());
    EXPECT_EQ(LayerOnDisk(), kLayer);
  }
}

TEST_F(PullTest, AServerThatHasUsBeginAgainForEverIsGivenUp) {
  // Each second answer is worth the while, the next one takes it back.
  const std::string large(9 << 20, 'l');
  manifest_ = registry_.AddImage({large});
  AnswerLayer([&](int number) {
    if (number % 2 == 1) return FakeReply{.body = large, .cut_after = large.size() - 1};
    return FakeReply{.status = 206, .fields = {{"Content-Range", "bytes 7-8/9"}}, .body = "xx"};
  });
  EXPECT_THAT(Pull(), HasReason(Reason::kImagePullFailed));
  EXPECT_LE(LayerRequests(), 5);
}

TEST_F(PullTest, GoesOnWithWhatAnEarlierJobLeft) {
  staging_.Write(layer().file_name() + ".part", kLayer.substr(0, 1234));
  ASSERT_OK(Pull());
  EXPECT_EQ(LayerOnDisk(), kLayer);
  EXPECT_EQ(registry_.server().requests().back().Get("range"), "bytes=1234-");
}

TEST_F(PullTest, ADamagedPartIsFetchedAnew) {
  for (const std::string& part : {std::string(1234, 'x'), std::string(kLayer.size(), 'x'),
                                  std::string(kLayer.size() + 1, 'l')}) {
    std::filesystem::remove(staging_.path() + "/" + layer().file_name());
    staging_.Write(layer().file_name() + ".part", part);
    ASSERT_OK(Pull());
    EXPECT_EQ(LayerOnDisk(), kLayer);
  }
}

TEST_F(PullTest, ADamagedBlobIsFetchedAnew) {
  staging_.Write(layer().file_name(), "damaged");
  ASSERT_OK(Pull());
  EXPECT_EQ(LayerOnDisk(), kLayer);
}

TEST_F(PullTest, WaitsForAnotherJobThatWritesTheSameBlob) {
  const std::string part = staging_.path() + "/" + layer().file_name() + ".part";
  const UniqueFd theirs(::open(part.c_str(), O_RDWR | O_CREAT, 0600));
  ASSERT_EQ(::flock(theirs.get(), LOCK_EX), 0);
  std::thread other([&] {
    while (registry_.server().requests().size() < 2) absl::SleepFor(absl::Milliseconds(10));
    ASSERT_EQ(::pwrite(theirs.get(), kLayer.data(), kLayer.size(), 0),
              static_cast<ssize_t>(kLayer.size()));
    std::filesystem::rename(part, staging_.path() + "/" + layer().file_name());
  });
  ASSERT_OK(Pull());
  other.join();
  EXPECT_EQ(LayerRequests(), 0);
}

TEST_F(PullTest, WrongBytesAreRefusedAndNotKept) {
  AnswerLayer([](int) { return FakeReply{.body = std::string(kLayer.size(), 'x')}; });
  EXPECT_THAT(Pull(), HasReason(Reason::kImageDigestMismatch));
  EXPECT_THAT(Files(), ElementsAre(manifest_.config.digest.file_name()));
  EXPECT_EQ(LayerRequests(), 1);
}

TEST_F(PullTest, AnotherLengthIsRefused) {
  const std::vector<FakeReply> replies = {
      {.body = kLayer + "more"},
      {.body = "less"},
      {.body = kLayer, .without_length = true, .endless = true},
      {.status = 206, .fields = {{"Content-Range", "bytes 0-1/2"}}, .body = "xx"},
  };
  for (const FakeReply& reply : replies) {
    std::filesystem::remove(staging_.path() + "/" + layer().file_name() + ".part");
    AnswerLayer([&](int) { return reply; });
    EXPECT_THAT(Pull(), HasReason(Reason::kImageDigestMismatch));
    EXPECT_THAT(Files(), Not(testing::Contains(layer().file_name())));
  }
}

TEST_F(PullTest, ABodyThatStopsIsTriedAgainThenGivenUp) {
  AnswerLayer([](int) {
    return FakeReply{.body = std::string(100, 'l'),
                     .announced_length = kLayer.size(),
                     .pause = absl::Milliseconds(50)};
  });
  limits_.max_attempts = 2;
  EXPECT_THAT(Pull(), HasReason(Reason::kImagePullFailed));
  EXPECT_EQ(LayerRequests(), 2);
}

TEST_F(PullTest, AnOverloadedRegistryIsAskedAgainWhenItSays) {
  AnswerLayer([](int number) -> std::optional<FakeReply> {
    if (number > 1) return std::nullopt;
    return FakeReply{.status = 429, .fields = {{"Retry-After", "1"}}};
  });
  const absl::Time began = absl::Now();
  ASSERT_OK(Pull());
  EXPECT_GE(absl::Now() - began, absl::Seconds(1));
}

TEST_F(PullTest, ALongRetryAfterIsAnErrorAtOnce) {
  registry_.intercept = [](const FakeRequest&) {
    return FakeReply{.status = 429,
                     .fields = {{"Retry-After", "3600"}},
                     .body = R"({"errors":[{"code":"TOOMANYREQUESTS","message":"slow"}]})"};
  };
  const auto done = Pull();
  EXPECT_THAT(done, HasReason(Reason::kImagePullFailed));
  EXPECT_THAT(std::string(done.status().message()), HasSubstr("1h"));
  EXPECT_THAT(registry_.server().requests(), SizeIs(1));
}

TEST_F(PullTest, AServersErrorIsTriedAsOftenAsAllowed) {
  registry_.intercept = [](const FakeRequest&) { return FakeReply{.status = 503}; };
  EXPECT_THAT(Pull(), HasReason(Reason::kImagePullFailed));
  EXPECT_THAT(registry_.server().requests(), SizeIs(3));
}

TEST_F(PullTest, OneFailingLayerEndsTheOthers) {
  manifest_ = registry_.AddImage({kLayer, "slow one"});
  const Digest slow = manifest_.layers[1].digest;
  registry_.intercept = [&](const FakeRequest& request) -> std::optional<FakeReply> {
    if (IsBlob(request, slow)) return FakeReply{.body = "slow one", .pause = absl::Seconds(1)};
    if (IsBlob(request, layer())) return FakeReply{.status = 404};
    return std::nullopt;
  };
  limits_.stall_timeout = absl::Seconds(30);
  const absl::Time began = absl::Now();
  EXPECT_THAT(Pull(), HasReason(Reason::kImageNotFound));
  EXPECT_LT(absl::Now() - began, absl::Seconds(5));
}

TEST_F(PullTest, ATokenIsFetchedAndUsedForAll) {
  FakeServer tokens([](const FakeRequest& request) {
    if (request.Get("authorization") != "Basic " + absl::Base64Escape("ann:pw")) {
      return FakeReply{.status = 401};
    }
    return FakeReply{.body = R"({"token":"t0ken"})"};
  });
  registry_.intercept = [&](const FakeRequest& request) -> std::optional<FakeReply> {
    if (request.Get("authorization") == "Bearer t0ken") return std::nullopt;
    return FakeReply{.status = 401,
                     .fields = {{"WWW-Authenticate",
                                 absl::StrCat("Bearer realm=\"http://", tokens.host(),
                                              "/token\",service=\"s v\",scope=\"a:b:pull c:d\"")}}};
  };
  job_.mutable_credentials()->set_username("ann");
  job_.mutable_credentials()->set_password("pw");

  ASSERT_OK(Pull());

  ASSERT_THAT(tokens.requests(), SizeIs(1));
  EXPECT_EQ(tokens.requests()[0].target, "/token?service=s%20v&scope=a%3Ab%3Apull&scope=c%3Ad");

  job_.mutable_credentials()->set_password("wrong");
  EXPECT_THAT(Pull(), HasReason(Reason::kImageAccessDenied));
}

TEST_F(PullTest, AnIdentityTokenIsExchanged) {
  registry_.intercept = [&](const FakeRequest& request) -> std::optional<FakeReply> {
    if (request.target == "/token") return FakeReply{.body = R"({"access_token":"t"})"};
    if (request.Get("authorization") == "Bearer t") return std::nullopt;
    return FakeReply{.status = 401,
                     .fields = {{"WWW-Authenticate",
                                 absl::StrCat("Bearer realm=\"http://", registry_.server().host(),
                                              "/token\",service=\"s\"")}}};
  };
  job_.mutable_credentials()->set_identity_token("i+d");
  ASSERT_OK(Pull());
  const FakeRequest exchange = registry_.server().requests()[1];
  EXPECT_EQ(exchange.method, "POST");
  EXPECT_THAT(exchange.body, HasSubstr("grant_type=refresh_token"));
  EXPECT_THAT(exchange.body, HasSubstr("refresh_token=i%2Bd"));
  EXPECT_THAT(exchange.body, HasSubstr("scope=repository%3Ateam%2Ftool%3Apull"));
}

TEST_F(PullTest, ARegistryThatTakesNoTokenIsNotAskedForEver) {
  registry_.intercept = [&](const FakeRequest& request) -> std::optional<FakeReply> {
    if (absl::StartsWith(request.target, "/token")) return FakeReply{.body = R"({"token":"t"})"};
    return FakeReply{
        .status = 401,
        .fields = {{"WWW-Authenticate", absl::StrCat("Bearer realm=\"http://",
                                                     registry_.server().host(), "/token\"")}}};
  };
  EXPECT_THAT(Pull(), HasReason(Reason::kImageAccessDenied));
  EXPECT_LE(registry_.server().requests().size(), 6u);
}

TEST_F(PullTest, BadTokensAreRefused) {
  for (const std::string token :
       {R"({"token":"a\r\nX-Evil: 1"})", R"({"token":""})", "{}", "no json", R"({"token":7})"}) {
    registry_.intercept = [&](const FakeRequest& request) -> std::optional<FakeReply> {
      if (absl::StartsWith(request.target, "/token")) return FakeReply{.body = token};
      return FakeReply{
          .status = 401,
          .fields = {{"WWW-Authenticate", absl::StrCat("Bearer realm=\"http://",
                                                       registry_.server().host(), "/token\"")}}};
    };
    EXPECT_THAT(Pull(), Not(testing::Truly([](const auto& done) { return done.ok(); }))) << token;
  }
}

TEST_F(PullTest, CredentialsGoToEndpointsThatMayHaveThemAlone) {
  registry_.intercept = [](const FakeRequest& request) -> std::optional<FakeReply> {
    if (!request.Get("authorization").empty()) return std::nullopt;
    return FakeReply{.status = 401, .fields = {{"WWW-Authenticate", "Basic realm=\"r\""}}};
  };
  job_.mutable_credentials()->set_username("ann");
  job_.mutable_credentials()->set_password("pw");
  ASSERT_OK(Pull());
  job_.mutable_endpoints(0)->set_send_credentials(false);
  EXPECT_THAT(Pull(), HasReason(Reason::kImageAccessDenied));
}

TEST_F(PullTest, ABlobElsewhereIsFetchedWithoutTheAuthorization) {
  FakeServer store([](const FakeRequest&) { return FakeReply{.body = kLayer}; });
  registry_.intercept = [&](const FakeRequest& request) -> std::optional<FakeReply> {
    if (request.Get("authorization").empty()) {
      return FakeReply{.status = 401, .fields = {{"WWW-Authenticate", "Basic realm=\"r\""}}};
    }
    if (!IsBlob(request, layer())) return std::nullopt;
    return FakeReply{.status = 307,
                     .fields = {{"Location", absl::StrCat("http://", store.host(), "/x")}}};
  };
  job_.mutable_credentials()->set_username("ann");
  ASSERT_OK(Pull());
  ASSERT_THAT(store.requests(), SizeIs(1));
  EXPECT_EQ(store.requests()[0].Get("authorization"), "");
}

TEST_F(PullTest, WhomTheRegistryRedirectsToGetsNoCredentials) {
  FakeServer thief([](const FakeRequest&) { return FakeReply{.body = R"({"token":"t"})"}; });
  FakeServer store([&](const FakeRequest&) {
    return FakeReply{
        .status = 401,
        .fields = {{"WWW-Authenticate", absl::StrCat("Bearer realm=\"http://", thief.host(),
                                                     "/token\",service=\"s\"")}}};
  });
  registry_.intercept = [&](const FakeRequest& request) -> std::optional<FakeReply> {
    if (!IsBlob(request, layer())) return std::nullopt;
    return FakeReply{.status = 307,
                     .fields = {{"Location", absl::StrCat("http://", store.host(), "/x")}}};
  };
  job_.mutable_credentials()->set_username("ann");
  job_.mutable_credentials()->set_password("pw");
  EXPECT_THAT(Pull(), HasReason(Reason::kImageAccessDenied));
  job_.mutable_credentials()->set_identity_token("secret");
  EXPECT_THAT(Pull(), HasReason(Reason::kImageAccessDenied));
  EXPECT_THAT(store.requests(), SizeIs(2));
  EXPECT_THAT(thief.requests(), IsEmpty());
}

TEST_F(PullTest, AMirrorThatLacksOrSpoilsABlobGivesWay) {
  FakeRegistry mirror;
  mirror.AddImage({kLayer});
  job_.clear_endpoints();
  AddEndpoint(mirror.server().host());
  AddEndpoint(registry_.server().host());
  for (const FakeReply& reply :
       {FakeReply{.status = 404}, FakeReply{.body = std::string(kLayer.size(), 'x')}}) {
    std::filesystem::remove(staging_.path() + "/" + layer().file_name());
    mirror.intercept = [&](const FakeRequest& request) -> std::optional<FakeReply> {
      return IsBlob(request, layer()) ? std::optional<FakeReply>(reply) : std::nullopt;
    };
    ASSERT_OK(Pull());
    EXPECT_EQ(LayerOnDisk(), kLayer);
  }
}

TEST_F(PullTest, APinnedManifestMustBeTheOneThatIsNamed) {
  const std::string good = Sha256::Of(WriteManifest(manifest_)).text();
  job_.set_reference(good);
  ASSERT_OK(Pull());
  registry_.intercept = [&](const FakeRequest&) -> std::optional<FakeReply> {
    return FakeReply{.body = WriteManifest(manifest_) + " "};
  };
  EXPECT_THAT(Pull(), HasReason(Reason::kImageDigestMismatch));
}

TEST_F(PullTest, AManifestUnlikeItsAnnouncedDigestIsRefused) {
  registry_.intercept = [&](const FakeRequest&) -> std::optional<FakeReply> {
    return FakeReply{.fields = {{"Docker-Content-Digest", Sha256::Of("other").text()}},
                     .body = WriteManifest(manifest_)};
  };
  EXPECT_THAT(Pull(), HasReason(Reason::kImageDigestMismatch));
}

TEST_F(PullTest, AHugeManifestIsRefused) {
  registry_.intercept = [&](const FakeRequest&) -> std::optional<FakeReply> {
    return FakeReply{.body = std::string(1 << 20, ' '), .without_length = true, .endless = true};
  };
  EXPECT_THAT(Pull(), HasReason(Reason::kImageTooLarge));
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(PullTest, AnIndexLeadsToAnImageAndNotToAnIndex) {
  const auto index_of = [](const char* type, const std::string& text) {
    return absl::StrCat(R"({"schemaVersion":2,"manifests":[{"mediaType":")", type,
                        R"(","digest":")", Sha256::Of(text).text(), R"(","size":)", text.size(),
                        "}]}");
  };
  const std::string index = index_of(media_type::kOciManifest, WriteManifest(manifest_));
  registry_.AddManifest("1.0", index, media_type::kOciIndex);
  ASSERT_OK(Pull());
  EXPECT_EQ(events_[0].manifest().manifest(), WriteManifest(manifest_));
  EXPECT_EQ(events_[0].manifest().index(), index);

  registry_.AddManifest("1.0", index_of(media_type::kOciIndex, index), media_type::kOciIndex);
  EXPECT_THAT(Pull(), HasReason(Reason::kImageUnsupported));
}

TEST_F(PullTest, AnImageForAnotherPlatformIsNotDownloaded) {
  job_.set_architecture("arm64");
  EXPECT_THAT(Pull(), HasReason(Reason::kImageUnsupported));
  EXPECT_EQ(LayerRequests(), 0);
}

TEST_F(PullTest, JobsThatMakeNoSenseAreRefused) {
  for (const std::string repository :
       {"", "../x", "a//b", "A", "a/../b", "a b", "a/", "-a", "a?b"}) {
    job_.set_repository(repository);
    EXPECT_THAT(Pull(), HasReason(Reason::kInvalidArgument)) << repository;
  }
  job_.set_repository("team/tool");
  for (const std::string reference : {"", "a/b", ".a", "sha256:00", "a b", "a?b", "a\r\nb"}) {
    job_.set_reference(reference);
    EXPECT_THAT(Pull(), HasReason(Reason::kInvalidArgument)) << reference;
  }
  job_.set_reference("1.0");
  job_.mutable_endpoints(0)->set_host("a/b");
  EXPECT_THAT(Pull(), HasReason(Reason::kInvalidArgument));
  job_.clear_endpoints();
  EXPECT_THAT(Pull(), HasReason(Reason::kInvalidArgument));
}

TEST_F(PullTest, SaysProgressAtMostTenTimesASecond) {
  const absl::Time began = absl::Now();
  ASSERT_OK(Pull());
  size_t progress = 0;
  for (const v1::JobEvent& event : events_) progress += event.has_progress() ? 1 : 0;
  const double seconds = absl::ToDoubleSeconds(absl::Now() - began);
  EXPECT_GE(progress, 2u);  // of two blobs
  EXPECT_LE(static_cast<double>(progress), 2 * (1 + 10 * seconds));
}

}  // namespace
}  // namespace msb::image
