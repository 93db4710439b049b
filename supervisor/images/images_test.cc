// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/images.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/error.h"
#include "base/unique_fd.h"
#include "supervisor/config/settings.h"
#include "supervisor/images/digest.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/fake_image_jobs.h"
#include "tests/support/supervisor/text_source.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using msb::image::v1::JobEvent;
using msb::v1::PullProgress;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;
using Step = FakeImageJobs::Step;

constexpr char kName[] = "docker.io/library/tool:1";

class ImagesTest : public testing::Test {
 protected:
  ImagesTest() : config_(DefaultConfig()), events_(64) {
    config_.daemon.assets_directory = dir_.path() + "/assets";
    std::filesystem::create_directories(dir_.path() + "/assets/images/default");
    dir_.Write("assets/images/default/rootfs.erofs", "root");
    dir_.Write("assets/images/default/image.json", R"({"cmd":["sh"]})");
    jobs_.Serve(kName, tool_);
  }
  void Open() {
    images_.reset();
    auto images = Images::Open(config_, dir_.path() + "/store", jobs_, events_);
    ASSERT_OK(images);
    images_ = *std::move(images);
  }
  void SetUp() override { Open(); }

  absl::StatusOr<msb::v1::Image> Pull(const Caller& caller,
                                      const msb::v1::PullImageRequest& request) {
    absl::StatusOr<msb::v1::Image> result = absl::UnknownError("");
    absl::Notification done;
    phases_.clear();
    auto ticket = images_->StartPull(
        caller, request,
        {.progress = [&](const PullProgress& progress) { phases_.push_back(progress); },
         .done =
             [&](const absl::StatusOr<msb::v1::Image>& image) {
               result = image;
               done.Notify();
             }});
    if (!ticket.ok()) return ticket.status();
    done.WaitForNotification();
    return result;
  }
  absl::StatusOr<msb::v1::Image> Pull(const std::string& name = "tool:1") {
    return Pull(ann_, Request(name));
  }
  static msb::v1::PullImageRequest Request(const std::string& name) {
    msb::v1::PullImageRequest request;
    request.set_image(name);
    return request;
  }
  static msb::v1::PullImageRequest WithPassword(const std::string& name) {
    msb::v1::PullImageRequest request = Request(name);
    request.mutable_credentials()->set_username("u");
    request.mutable_credentials()->set_password("p");
    return request;
  }
  std::vector<std::string> FilesIn(const std::string& folder) const {
    std::vector<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator(dir_.path() + "/store/" + folder)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  std::vector<std::string> NamesSeenBy(const Caller& caller) const {
    std::vector<std::string> names;
    const msb::v1::ListImagesResponse list = images_->catalog().List(caller);
    for (const msb::v1::Image& image : list.images()) {
      if (!image.built_in()) names.push_back(image.name());
    }
    return names;
  }
  // What a pull leaves that failed: nothing that anybody could find.
  void ExpectNothingVisible() {
    EXPECT_THAT(NamesSeenBy(root_), IsEmpty());
    EXPECT_THAT(FilesIn("blobs/sha256"), IsEmpty());
    EXPECT_THAT(FilesIn("layers/sha256"), IsEmpty());
    EXPECT_EQ(jobs_.running(), 0);
  }
  size_t PullJobs() const {
    size_t count = 0;
    for (const auto& job : jobs_.jobs()) count += job.has_pull() ? 1 : 0;
    return count;
  }
  msb::image::v1::PullJob LastPull() const {
    const auto jobs = jobs_.jobs();
    const auto last =
        std::find_if(jobs.rbegin(), jobs.rend(), [](const auto& job) { return job.has_pull(); });
    return last == jobs.rend() ? msb::image::v1::PullJob() : last->pull();
  }
  size_t BuildJobs() const { return jobs_.jobs().size() - PullJobs(); }

  const Caller root_{.uid = 0, .sees_all = true};
  const Caller ann_{.uid = 1001};
  const Caller bob_{.uid = 1002};
  const FakeImage tool_ =
      MakeFakeImage({"base", "tool"}, R"({"Env":["A=1"],"WorkingDir":"w","StopSignal":"USR1"})");
  TempDir dir_;
  Config config_;
  EventRing events_;
  FakeImageJobs jobs_;
  std::vector<PullProgress> phases_;
  std::unique_ptr<Images> images_;
};

TEST_F(ImagesTest, PullsAnImageAndKnowsItAfterARestart) {
  ASSERT_OK_AND_ASSIGN(const msb::v1::Image image, Pull());

  EXPECT_EQ(image.name(), kName);
  EXPECT_EQ(image.digest(), tool_.digest());
  EXPECT_EQ(image.layers_size(), 2);
  EXPECT_TRUE(image.shared());
  EXPECT_THAT(FilesIn("staging"), IsEmpty());
  Open();
  ASSERT_OK_AND_ASSIGN(const auto resolved, images_->catalog().Resolve(bob_, "tool:1"));
  EXPECT_EQ(resolved.digest, tool_.digest());
  EXPECT_EQ(resolved.name, "tool:1");
  ASSERT_OK_AND_ASSIGN(const ImageConfig config, images_->ConfigOf("tool:1", resolved.digest));
  EXPECT_EQ(config.env.at("A"), "1");
  EXPECT_EQ(config.workdir, "/w");
  EXPECT_EQ(config.stop_signal, SIGUSR1);
  ASSERT_EQ(config.layers.size(), 2u);
  std::ifstream layer(config.layers[0]);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(layer), {}), "erofs of base");
}

TEST_F(ImagesTest, RunsNoImageWhoseStopSignalIsNone) {
  const FakeImage odd = MakeFakeImage({"base"}, R"({"StopSignal":"SIGODD"})");
  jobs_.Serve("docker.io/library/odd:1", odd);
  ASSERT_OK(Pull("odd:1"));
  const auto config = images_->ConfigOf("odd:1", odd.digest());
  EXPECT_THAT(config, HasReason(Reason::kImageInvalid));
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("SIGODD"));
}

TEST_F(ImagesTest, TellsHowFarEachLayerIs) {
  ASSERT_OK(Pull());
  std::vector<PullProgress::Phase> phases;
  for (const PullProgress& progress : phases_) {
    if (progress.digest() == Sha256("base")) phases.push_back(progress.phase());
  }
  EXPECT_EQ(phases.front(), PullProgress::PHASE_WAITING);
  EXPECT_EQ(phases.back(), PullProgress::PHASE_DONE);
}

TEST_F(ImagesTest, KeepsAndBuildsASharedLayerOnce) {
  jobs_.Serve("docker.io/library/other:1", MakeFakeImage({"base", "other"}));
  ASSERT_OK(Pull());
  ASSERT_OK_AND_ASSIGN(const msb::v1::Image other, Pull("other:1"));

  EXPECT_EQ(FilesIn("layers/sha256").size(), 3u);
  EXPECT_EQ(BuildJobs(), 3u);
  EXPECT_EQ(other.layers(0).images(), 2u);
  EXPECT_EQ(other.layers(1).images(), 1u);
  EXPECT_THAT(jobs_.jobs().at(3).pull().present(), Contains(Sha256("base")));
}

TEST_F(ImagesTest, TwoWhoWantTheSameShareOnePull) {
  absl::Notification started;
  absl::Notification go;
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull()) return honest;
    Step first = honest[0];
    honest[0] = [&, first] {
      started.Notify();
      go.WaitForNotification();
      return first();
    };
    return honest;
  });
  absl::StatusOr<msb::v1::Image> one = absl::UnknownError("");
  std::thread ann([&] { one = Pull(); });
  started.WaitForNotification();
  absl::Notification done;
  auto ticket = images_->StartPull(bob_, Request("tool:1"),
                                   {.progress = [](const PullProgress&) {},
                                    .done =
                                        [&](const auto& image) {
                                          EXPECT_OK(image);
                                          done.Notify();
                                        }});
  ASSERT_OK(ticket);
  go.Notify();
  ann.join();
  done.WaitForNotification();
  EXPECT_OK(one);
  EXPECT_EQ(PullJobs(), 1u);
}

TEST_F(ImagesTest, TheLastToLeaveEndsAPull) {
  absl::Notification started;
  absl::Notification go;
  jobs_.set_script([&](const ImageJobRequest&, std::vector<Step> honest) {
    honest[0] = [&]() -> absl::StatusOr<JobEvent> {
      started.Notify();
      go.WaitForNotification();
      return JobEvent();
    };
    return honest;
  });
  {
    auto ticket = images_->StartPull(
        ann_, Request("tool:1"),
        {.progress = [](const PullProgress&) {}, .done = [](const auto&) { FAIL(); }});
    ASSERT_OK(ticket);
    started.WaitForNotification();
  }
  go.Notify();
  images_.reset();  // waits for what runs
  Open();
  ExpectNothingVisible();
}

TEST_F(ImagesTest, GoesOnWithWhatABrokenPullLeft) {
  bool broken = false;
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull() || broken) return honest;
    broken = true;
    honest.back() = FakeImageJobs::Fail(MakeError(Reason::kImagePullFailed, "cut"));
    honest[3] = honest.back();  // manifest, configuration, first layer, then the cut
    return honest;
  });
  EXPECT_EQ(ReasonOf(Pull().status()), Reason::kImagePullFailed);
  ExpectNothingVisible();
  Open();  // a daemon that was killed in between finds it too
  ASSERT_OK(Pull());

  EXPECT_THAT(LastPull().present(),
              UnorderedElementsAre(Sha256(tool_.config), Sha256("base"), tool_.digest()));
  EXPECT_THAT(FilesIn("staging"), IsEmpty());
}

TEST_F(ImagesTest, WhatABrokenPullLeftOutlivesOtherPullsOfItsRepository) {
  jobs_.Serve("docker.io/library/tool:2", MakeFakeImage({"another"}));
  std::string fate = "cut";
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull() || fate.empty()) return honest;
    // Behind the first layer; an index without a variant for this host has no manifest.
    if (fate == "cut") {
      honest[3] = FakeImageJobs::Fail(MakeError(Reason::kImagePullFailed, "cut"));
    } else {
      honest[0] = FakeImageJobs::Fail(MakeError(Reason::kImageUnsupported, "no variant"));
    }
    return honest;
  });
  EXPECT_THAT(Pull(), HasReason(Reason::kImagePullFailed));
  fate = "no variant";
  EXPECT_THAT(Pull("tool:2"), HasReason(Reason::kImageUnsupported));
  fate = "";
  ASSERT_OK(Pull("tool:2"));
  EXPECT_EQ(FilesIn("staging").size(), 1u);
  ASSERT_OK(Pull());

  EXPECT_THAT(LastPull().present(), Contains(Sha256("base")));
  EXPECT_THAT(LastPull().present(), Not(Contains(Sha256("tool"))));
  EXPECT_THAT(FilesIn("staging"), IsEmpty());
}

TEST_F(ImagesTest, ForgetsWhatABrokenPullLeftInTime) {
  config_.images.partial_age = absl::ZeroDuration();
  jobs_.set_script([&](const ImageJobRequest&, std::vector<Step> honest) {
    honest[2] = FakeImageJobs::Fail(MakeError(Reason::kImagePullFailed, "cut"));
    return honest;
  });
  Open();
  EXPECT_FALSE(Pull().ok());
  EXPECT_THAT(FilesIn("staging"), IsEmpty());
}

TEST_F(ImagesTest, WhatABrokenPullLeftIsNotRenewedByOtherPullsOfItsRepository) {
  jobs_.Serve("docker.io/library/tool:2", MakeFakeImage({"another"}));
  bool broken = false;
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull() || broken) return honest;
    broken = true;
    honest[3] = FakeImageJobs::Fail(MakeError(Reason::kImagePullFailed, "cut"));
    return honest;
  });
  EXPECT_THAT(Pull(), HasReason(Reason::kImagePullFailed));
  const auto old = std::filesystem::file_time_type::clock::now() -
                   absl::ToChronoSeconds(2 * config_.images.partial_age);
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(dir_.path() + "/store/staging")) {
    std::filesystem::last_write_time(entry.path(), old);
  }
  ASSERT_OK(Pull("tool:2"));
  EXPECT_THAT(FilesIn("staging"), IsEmpty());
}

TEST_F(ImagesTest, BelievesNoDigestThatItHasNotSeen) {
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull()) return honest;
    const int folder = request.fds.at(request.spec.pull().blob_directory_fd());
    honest[2] = FakeImageJobs::Leave(folder, "evil", Sha256("base"));
    return honest;
  });
  EXPECT_EQ(ReasonOf(Pull().status()), Reason::kImageDigestMismatch);
  ExpectNothingVisible();
  EXPECT_THAT(FilesIn("staging"), IsEmpty()) << "spoilt data is kept";
}

TEST_F(ImagesTest, WhatIsTooLargeIsNotKeptForTheNextPull) {
  for (const Reason reason : {Reason::kImageTooLarge, Reason::kImageUnsupported}) {
    jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
      if (request.spec.has_build_layer()) honest[0] = FakeImageJobs::Fail(MakeError(reason, "no"));
      return honest;
    });
    EXPECT_EQ(ReasonOf(Pull().status()), reason);
    EXPECT_THAT(FilesIn("staging"), IsEmpty());
  }
}

TEST_F(ImagesTest, HalfALayerIsNotKeptForTheNextPull) {
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (request.spec.has_build_layer()) {
      honest[0] = FakeImageJobs::Fail(MakeError(Reason::kImageJobFailed, "killed"));
    }
    return honest;
  });
  EXPECT_EQ(ReasonOf(Pull().status()), Reason::kImageJobFailed);
  const std::vector<std::string> pulls = FilesIn("staging");
  ASSERT_EQ(pulls.size(), 1u) << "what was fetched is";
  EXPECT_THAT(FilesIn(absl::StrCat("staging/", pulls[0], "/layers")), IsEmpty());
}

TEST_F(ImagesTest, AnImageIsTheOneThatItsDigestNames) {
  const std::string wanted = absl::StrCat("tool@", Sha256("another manifest"));
  jobs_.set_script([&](const ImageJobRequest&, std::vector<Step>) {
    JobEvent event;
    event.mutable_manifest()->set_manifest(tool_.manifest);
    return std::vector<Step>{FakeImageJobs::Say(event), FakeImageJobs::Say(FakeImageJobs::Done())};
  });
  EXPECT_EQ(ReasonOf(Pull(wanted).status()), Reason::kImageDigestMismatch);
  ExpectNothingVisible();
}

TEST_F(ImagesTest, ALargeBlobIsTakenAwayAndASmallOneStays) {
  const std::string large(5u << 20, 'l');
  jobs_.Serve("docker.io/library/large:1", MakeFakeImage({large}));
  std::vector<std::string> left;
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull()) return honest;
    const int folder = request.fds.at(request.spec.pull().blob_directory_fd());
    const Step done = honest.back();
    honest.back() = [&, folder, done] {
      for (const std::string& digest : {Sha256(tool_.config), Sha256(large)}) {
        const std::string name = absl::StrCat("sha256-", HexOf(digest));
        if (::faccessat(folder, name.c_str(), F_OK, 0) == 0) left.push_back(digest);
      }
      return done();
    };
    return honest;
  });
  ASSERT_OK(Pull());
  EXPECT_THAT(left, ElementsAre(Sha256(tool_.config)));
  left.clear();
  ASSERT_OK(Pull("large:1"));
  EXPECT_THAT(left, IsEmpty());
}

TEST_F(ImagesTest, AWriterThatLingersCannotChangeABlob) {
  const std::string large(5u << 20, 'l');
  jobs_.Serve(kName, MakeFakeImage({large}));
  int lingering = -1;
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull()) return honest;
    const int folder = request.fds.at(request.spec.pull().blob_directory_fd());
    const Step leave = honest[2];
    honest[2] = [&lingering, &large, folder, leave] {
      auto event = leave();
      const std::string name = absl::StrCat("sha256-", HexOf(Sha256(large)));
      lingering = ::openat(folder, name.c_str(), O_WRONLY | O_CLOEXEC);
      return event;
    };
    return honest;
  });
  ASSERT_OK(Pull());
  ASSERT_GE(lingering, 0);
  EXPECT_EQ(::pwrite(lingering, "evil", 4, 0), 4);
  ::close(lingering);
  std::ifstream blob(images_->content().BlobPath(Sha256(large)), std::ios::binary);
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(blob), {}) == large);
}

TEST_F(ImagesTest, FollowsNoLinkThatAJobLeft) {
  dir_.Write("secret", "base");
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull()) return honest;
    const int folder = request.fds.at(request.spec.pull().blob_directory_fd());
    honest[2] = [this, folder]() -> absl::StatusOr<JobEvent> {
      const std::string name = absl::StrCat("sha256-", HexOf(Sha256("base")));
      EXPECT_EQ(::symlinkat((dir_.path() + "/secret").c_str(), folder, name.c_str()), 0);
      JobEvent event;
      event.set_blob_done(Sha256("base"));
      return event;
    };
    return honest;
  });
  EXPECT_EQ(ReasonOf(Pull().status()), Reason::kImageJobFailed);
  ExpectNothingVisible();
}

TEST_F(ImagesTest, AJobThatEndsEarlyMakesNoImage) {
  for (const size_t kept : {size_t{0}, size_t{1}, size_t{2}, size_t{3}}) {
    config_.images.partial_mib = 0;
    Open();
    jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
      if (!request.spec.has_pull()) return honest;
      honest.resize(kept);
      honest.push_back(FakeImageJobs::Say(FakeImageJobs::Done()));
      return honest;
    });
    EXPECT_EQ(ReasonOf(Pull().status()), Reason::kImageJobFailed) << kept;
    ExpectNothingVisible();
  }
}

TEST_F(ImagesTest, ALayerThatIsNotWhatTheConfigurationSaysMakesNoImage) {
  FakeImage lying = MakeFakeImage({"base"});
  const FakeImage other = MakeFakeImage({"something else"});
  // Its configuration is another image's.
  lying.config = other.config;
  lying.manifest =
      absl::StrCat(R"({"schemaVersion":2,"config":{"digest":")", Sha256(other.config),
                   R"(","size":1},"layers":[{"digest":")", Sha256("base"), R"(","size":4}]})");
  jobs_.Serve("docker.io/library/lying:1", lying);
  EXPECT_EQ(ReasonOf(Pull("lying:1").status()), Reason::kImageDigestMismatch);
  ExpectNothingVisible();
}

TEST_F(ImagesTest, APrivatePullIsItsOwnersAlone) {
  ASSERT_OK_AND_ASSIGN(const msb::v1::Image image, Pull(ann_, WithPassword("tool:1")));
  EXPECT_FALSE(image.shared());
  EXPECT_OK(images_->catalog().Resolve(ann_, "tool:1"));
  for (const std::string& text :
       {std::string("tool:1"), image.digest(), "tool@" + image.digest()}) {
    EXPECT_EQ(ReasonOf(images_->catalog().Resolve(bob_, text).status()), Reason::kImageNotFound);
    EXPECT_EQ(ReasonOf(images_->Inspect(bob_, text).status()), Reason::kImageNotFound);
    EXPECT_EQ(ReasonOf(images_->catalog().Remove(bob_, text).status()), Reason::kImageNotFound);
    EXPECT_EQ(ReasonOf(images_->catalog().Tag(bob_, text, "mine").status()),
              Reason::kImageNotFound);
  }
  EXPECT_THAT(NamesSeenBy(bob_), IsEmpty());
  EXPECT_THAT(NamesSeenBy(root_), ElementsAre(kName));
}

TEST_F(ImagesTest, KnowingADigestIsNoRightToABlob) {
  ASSERT_OK(Pull(ann_, WithPassword("tool:1")));
  // Bob's registry has a manifest that names Ann's layer, and his job says that all is there.
  jobs_.Serve("bob.example/thief:1", tool_);
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull()) return honest;
    EXPECT_THAT(request.spec.pull().present(), IsEmpty());
    honest.resize(1);
    honest.push_back(FakeImageJobs::Say(FakeImageJobs::Done()));
    return honest;
  });
  EXPECT_EQ(ReasonOf(Pull(bob_, Request("bob.example/thief:1")).status()), Reason::kImageJobFailed);
  EXPECT_THAT(NamesSeenBy(bob_), IsEmpty());
}

TEST_F(ImagesTest, AnImageInUseStays) {
  ASSERT_OK_AND_ASSIGN(const msb::v1::Image image, Pull());
  ASSERT_OK(images_->catalog().Pin("id1", {.sandbox = "box", .owner_uid = 1001}, image.digest()));

  const absl::Status removed = images_->catalog().Remove(ann_, "tool:1").status();
  EXPECT_EQ(ReasonOf(removed), Reason::kImageInUse);
  EXPECT_THAT(std::string(removed.message()), HasSubstr("box"));
  ASSERT_OK_AND_ASSIGN(const auto pruned, images_->catalog().Prune(ann_, /*all=*/true));
  EXPECT_THAT(pruned.removed(), IsEmpty());
  EXPECT_OK(images_->ConfigOf("tool:1", image.digest()));

  images_->catalog().Unpin("id1");
  ASSERT_OK(images_->catalog().Remove(ann_, "tool:1"));
  EXPECT_THAT(FilesIn("layers/sha256"), IsEmpty());
  EXPECT_THAT(FilesIn("blobs/sha256"), IsEmpty());
  EXPECT_EQ(ReasonOf(images_->catalog().Pin("id2", {}, image.digest())), Reason::kImageNotFound);
}

TEST_F(ImagesTest, ANameThatMovesLeavesASandboxItsImage) {
  ASSERT_OK_AND_ASSIGN(const msb::v1::Image before, Pull());
  ASSERT_OK(images_->catalog().Pin("id1", {.sandbox = "box", .owner_uid = 1001}, before.digest()));
  jobs_.Serve(kName, MakeFakeImage({"newer"}));
  ASSERT_OK_AND_ASSIGN(const msb::v1::Image after, Pull());

  EXPECT_NE(after.digest(), before.digest());
  ASSERT_OK(images_->catalog().Prune(root_, false));
  EXPECT_OK(images_->ConfigOf("tool:1", before.digest()));
  images_->catalog().Unpin("id1");
  ASSERT_OK(images_->catalog().Prune(root_, false));
  EXPECT_FALSE(images_->ConfigOf("tool:1", before.digest()).ok());
  EXPECT_EQ(FilesIn("layers/sha256").size(), 1u);
}

TEST_F(ImagesTest, RemovingOneOfTwoNamesKeepsTheImage) {
  ASSERT_OK(Pull());
  ASSERT_OK_AND_ASSIGN(const msb::v1::Image tagged,
                       images_->catalog().Tag(ann_, "tool:1", "mine:2"));
  EXPECT_FALSE(tagged.shared());
  EXPECT_EQ(ReasonOf(images_->catalog().Resolve(bob_, "mine:2").status()), Reason::kImageNotFound);
  ASSERT_OK_AND_ASSIGN(const auto removed, images_->catalog().Remove(ann_, "tool:1"));
  EXPECT_FALSE(removed.removed_image());
  EXPECT_OK(images_->catalog().Resolve(ann_, "mine:2"));
  EXPECT_EQ(FilesIn("layers/sha256").size(), 2u);
}

TEST_F(ImagesTest, AnothersNameIsNotForTheTaking) {
  ASSERT_OK(Pull());
  EXPECT_EQ(ReasonOf(images_->catalog().Remove(bob_, "tool:1").status()),
            Reason::kPermissionDenied);
  ASSERT_OK_AND_ASSIGN(const auto pruned, images_->catalog().Prune(bob_, /*all=*/true));
  EXPECT_THAT(pruned.removed(), IsEmpty());
  EXPECT_OK(images_->catalog().Remove(root_, "tool:1"));
}

TEST_F(ImagesTest, ABuiltInImageIsMeantByItsPlainNameAlone) {
  jobs_.Serve("docker.io/library/default:latest", tool_);
  EXPECT_EQ(images_->catalog().Resolve(ann_, "default")->digest, "");
  const absl::Status refused = Pull("default").status();
  EXPECT_EQ(ReasonOf(refused), Reason::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("default:latest"));
  ASSERT_OK(Pull("default:latest"));
  EXPECT_EQ(images_->catalog().Resolve(ann_, "default")->digest, "");
  EXPECT_EQ(images_->catalog().Resolve(ann_, "default:latest")->digest, tool_.digest());
  EXPECT_FALSE(images_->catalog().Tag(ann_, "default:latest", "default").ok());
  EXPECT_EQ(ReasonOf(images_->catalog().Remove(root_, "default").status()),
            Reason::kPermissionDenied);
}

TEST_F(ImagesTest, HoldsTheStoresLimit) {
  config_.images.store_mib = 1;
  Open();
  FakeImage huge = MakeFakeImage({"base"});
  huge.manifest = absl::StrCat(R"({"schemaVersion":2,"config":{"digest":")", Sha256(huge.config),
                               R"(","size":1},"layers":[{"digest":")", Sha256("base"),
                               R"(","size":2000000}]})");
  jobs_.Serve("docker.io/library/huge:1", huge);
  const absl::Status refused = Pull("huge:1").status();
  EXPECT_EQ(ReasonOf(refused), Reason::kNoSpace);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("images.store_mib"));
}

TEST_F(ImagesTest, APullThatAnnouncesMuchKeepsNoOtherFromPulling) {
  config_.images.store_mib = 16;
  jobs_.Serve("docker.io/library/slow:1", MakeFakeImage({std::string(14u << 20, 's')}));
  jobs_.Serve("docker.io/library/other:1", MakeFakeImage({std::string(5u << 20, 'o')}));
  absl::Notification announced;
  absl::Notification go;
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull() || announced.HasBeenNotified()) return honest;
    honest[1] = [&]() -> absl::StatusOr<JobEvent> {
      announced.Notify();
      go.WaitForNotification();
      return MakeError(Reason::kImagePullFailed, "cut");
    };
    return honest;
  });
  absl::Notification done;
  auto ticket = images_->StartPull(
      bob_, Request("slow:1"),
      {.progress = [](const PullProgress&) {}, .done = [&](const auto&) { done.Notify(); }});
  ASSERT_OK(ticket);
  announced.WaitForNotification();
  EXPECT_OK(Pull("other:1"));
  go.Notify();
  done.WaitForNotification();
}

TEST_F(ImagesTest, WhatABrokenPullLeftIsCountedOnce) {
  config_.images.store_mib = 12;
  const std::string large(7u << 20, 'l');
  jobs_.Serve(kName, MakeFakeImage({large}));
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    const int folder = request.fds.at(request.spec.pull().blob_directory_fd());
    const Step leave_part = [&large, folder]() -> absl::StatusOr<JobEvent> {
      const std::string part = absl::StrCat("sha256-", HexOf(Sha256(large)), ".part");
      const UniqueFd file(::openat(folder, part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      EXPECT_EQ(::write(file.get(), large.data(), large.size()), ssize_t(large.size()));
      return MakeError(Reason::kImagePullFailed, "cut");
    };
    return std::vector<Step>{honest[0], leave_part};
  });
  EXPECT_THAT(Pull(), HasReason(Reason::kImagePullFailed));
  EXPECT_THAT(Pull(), HasReason(Reason::kImagePullFailed)) << "it has room to go on";
}

TEST_F(ImagesTest, APullEndsWhenTheStoreIsFull) {
  config_.images.store_mib = 4;
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_pull()) return honest;
    const int folder = request.fds.at(request.spec.pull().blob_directory_fd());
    honest[2] = [folder] {
      const Step leave = FakeImageJobs::Leave(folder, std::string(5u << 20, 'x'), Sha256("base"));
      return leave();  // more than it announced
    };
    return honest;
  });
  EXPECT_THAT(Pull(), HasReason(Reason::kNoSpace));
  ExpectNothingVisible();
}

TEST_F(ImagesTest, AStartDeletesWhatNoRowSpeaksOf) {
  ASSERT_OK(Pull());
  images_.reset();
  dir_.Write(absl::StrCat("store/blobs/sha256/", HexOf(Sha256("stray"))), "stray");
  dir_.Write("store/trash/x", "x");
  std::filesystem::create_directories(dir_.path() + "/store/staging/load-1/fetch");
  Open();
  EXPECT_EQ(FilesIn("blobs/sha256").size(), 4u);
  EXPECT_THAT(FilesIn("trash"), IsEmpty());
  EXPECT_THAT(FilesIn("staging"), IsEmpty());
}

TEST_F(ImagesTest, WhatIsSavedCanBeLoaded) {
  ASSERT_OK(Pull());
  const Cancellation cancel;
  std::string archive;
  ASSERT_OK(images_->Save(ann_, {"tool:1"}, cancel, [&](std::string bytes) {
    archive += bytes;
    return true;
  }));
  ASSERT_OK(images_->catalog().Remove(ann_, "tool:1"));
  TextSource source(archive);
  ASSERT_OK_AND_ASSIGN(const auto loaded,
                       images_->Load({.caller = ann_, .name = ""}, cancel, source));
  ASSERT_EQ(loaded.images_size(), 1);
  EXPECT_EQ(loaded.images(0).digest(), tool_.digest());
  EXPECT_EQ(loaded.images(0).name(), kName);
  EXPECT_FALSE(loaded.images(0).shared()) << "what a user loads, others need not trust";
  EXPECT_THAT(FilesIn("staging"), IsEmpty());
}

TEST_F(ImagesTest, AnArchiveWithoutANameNeedsOne) {
  const std::string archive =
      absl::StrCat("\n", tool_.manifest, "\n", tool_.config, "\nbase\ntool");
  const Cancellation cancel;
  TextSource nameless(archive);
  EXPECT_EQ(ReasonOf(images_->Load({.caller = ann_, .name = ""}, cancel, nameless).status()),
            Reason::kInvalidArgument);
  TextSource named(archive);
  ASSERT_OK(images_->Load({.caller = root_, .name = "named:1"}, cancel, named));
  EXPECT_OK(images_->catalog().Resolve(bob_, "named:1"));
}

TEST_F(ImagesTest, ABrokenArchiveLeavesNothing) {
  const Cancellation cancel;
  TextSource source("rubbish");
  EXPECT_EQ(ReasonOf(images_->Load({.caller = ann_, .name = ""}, cancel, source).status()),
            Reason::kImageInvalid);
  ExpectNothingVisible();
  EXPECT_THAT(FilesIn("staging"), IsEmpty());
}

TEST_F(ImagesTest, TellsThoseWhoSeeAnImageOfIt) {
  ASSERT_OK(Pull());
  ASSERT_OK(Pull(ann_, WithPassword("tool:1")));
  ASSERT_OK(images_->catalog().Remove(ann_, "tool:1"));
  const auto shared = events_.Read(1);
  const auto own = events_.Read(2);
  const auto removed = events_.Read(3);
  EXPECT_TRUE(shared->for_everybody);
  EXPECT_EQ(shared->event.image().kind(), msb::v1::ImageEvent::KIND_PULLED);
  EXPECT_FALSE(own->for_everybody);
  EXPECT_EQ(own->owner_uid, 1001u);
  EXPECT_EQ(removed->event.image().kind(), msb::v1::ImageEvent::KIND_REMOVED);
}

}  // namespace
}  // namespace msb
