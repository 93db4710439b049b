// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Loads and saves whose job stands still, and what an archive may not bring.

#include "supervisor/images/archives.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/notification.h"
#include "base/error.h"
#include "base/unique_fd.h"
#include "supervisor/config/settings.h"
#include "supervisor/images/images.h"
#include "tests/support/matchers.h"
#include "tests/support/supervisor/fake_image_jobs.h"
#include "tests/support/supervisor/text_source.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using Step = FakeImageJobs::Step;

constexpr uint64_t kMib = 1u << 20;

// Always has more, and more at once than a pipe holds.
class EndlessSource final : public ArchiveSource {
 public:
  absl::StatusOr<std::optional<std::string>> Next() override {
    if (stopped_) return absl::CancelledError("stopped");
    if (!asked_.HasBeenNotified()) asked_.Notify();
    return std::string(kMib, 'x');
  }
  void Stop() override { stopped_ = true; }
  // Until somebody carries what nobody reads.
  void WaitUntilAsked() const { asked_.WaitForNotification(); }

 private:
  std::atomic<bool> stopped_ = false;
  absl::Notification asked_;
};

class ArchivesTest : public testing::Test {
 protected:
  ArchivesTest() : config_(DefaultConfig()), events_(64) {
    ::signal(SIGPIPE, SIG_IGN);  // as in the daemon
    config_.daemon.assets_directory = dir_.path() + "/assets";
    std::filesystem::create_directories(dir_.path() + "/assets/images/default");
    dir_.Write("assets/images/default/rootfs.erofs", "root");
    dir_.Write("assets/images/default/image.json", R"({"cmd":["sh"]})");
  }
  void Open() {
    auto images = Images::Open(config_, dir_.path() + "/store", jobs_, events_);
    ASSERT_OK(images);
    images_ = *std::move(images);
  }
  // As the fake's archives are.
  static std::string ArchiveOf(const std::string& name, const FakeImage& image) {
    return absl::StrCat(name, "\n", image.manifest, "\n", image.config, "\n",
                        absl::StrJoin(image.layers, "\n"));
  }
  absl::StatusOr<msb::v1::LoadImageResponse> Load(const std::string& archive,
                                                  const std::string& name = "") {
    TextSource source(archive);
    const Cancellation cancel;
    return images_->Load({.caller = ann_, .name = name}, cancel, source);
  }
  absl::StatusOr<msb::v1::LoadImageResponse> LoadTool() { return Load(ArchiveOf("tool:1", tool_)); }

  // What each layer's job does.
  void SetBuilds(std::function<Step(const ImageJobRequest&, Step honest)> build) {
    jobs_.set_script(
        [build = std::move(build)](const ImageJobRequest& request, std::vector<Step> honest) {
          if (request.spec.has_build_layer()) honest[0] = build(request, honest[0]);
          return honest;
        });
  }

  const Caller ann_{.uid = 1001};
  const FakeImage tool_ = MakeFakeImage({"base", "tool"});
  TempDir dir_;
  Config config_;
  EventRing events_;
  FakeImageJobs jobs_;
  std::unique_ptr<Images> images_;
};

TEST_F(ArchivesTest, AJobThatIsGivenUpReadsNoMore) {
  Open();
  EndlessSource source;
  jobs_.set_script([&source](const ImageJobRequest&, std::vector<Step>) {
    return std::vector<Step>{[&source]() -> absl::StatusOr<msb::image::v1::JobEvent> {
      source.WaitUntilAsked();
      return MakeError(Reason::kImageJobFailed, "said nothing");
    }};
  });
  const Cancellation cancel;
  EXPECT_THAT(images_->Load({.caller = ann_, .name = ""}, cancel, source),
              HasReason(Reason::kImageJobFailed));
  EXPECT_EQ(jobs_.running(), 0);
}

TEST_F(ArchivesTest, ASaveThatStandsStillIsGivenUp) {
  config_.images.silence_timeout = absl::Milliseconds(50);
  Open();
  ASSERT_OK(LoadTool());
  jobs_.HoldSaves();
  const Cancellation cancel;
  const absl::Status saved =
      images_->Save(ann_, {"tool:1"}, cancel, [](const std::string&) { return true; });
  EXPECT_THAT(saved, HasReason(Reason::kImageJobFailed));
  EXPECT_THAT(std::string(saved.message()), HasSubstr("images.silence_timeout"));
  EXPECT_EQ(jobs_.running(), 0);
}

TEST_F(ArchivesTest, ABuiltInImagesNameIsNotForArchives) {
  Open();
  const absl::Status asked = Load(ArchiveOf("tool:1", tool_), "default").status();
  EXPECT_THAT(asked, HasReason(Reason::kInvalidArgument));
  EXPECT_THAT(std::string(asked.message()), HasSubstr("default:latest"));
  EXPECT_THAT(jobs_.jobs(), IsEmpty()) << "the name alone says that it cannot be";

  const absl::Status brought = Load(ArchiveOf("default", tool_)).status();
  EXPECT_THAT(brought, HasReason(Reason::kInvalidArgument));
  EXPECT_FALSE(images_->catalog().Resolve(ann_, "default:latest").ok());
  EXPECT_OK(Load(ArchiveOf("default", tool_), "default:latest"));
}

TEST_F(ArchivesTest, AnImageHasNoMoreNamesThanAreTaken) {
  Open();
  jobs_.set_script([](const ImageJobRequest&, std::vector<Step>) {
    msb::image::v1::JobEvent event;
    event.mutable_manifest()->set_manifest("{}");
    for (int i = 0; i < 65; ++i) event.mutable_manifest()->add_names(absl::StrCat("name:", i));
    return std::vector<Step>{FakeImageJobs::Say(event), FakeImageJobs::Say(FakeImageJobs::Done())};
  });
  EXPECT_THAT(LoadTool(), HasReason(Reason::kImageTooLarge));
}

// What a job was allowed to write, as it was told.
struct Allowed {
  void Note(const ImageJobRequest& request) {
    largest_file = request.max_file_bytes;
    room = request.spec.limits().room_bytes();
  }
  std::atomic<uint64_t> largest_file = 0;
  std::atomic<uint64_t> room = 0;
};

TEST_F(ArchivesTest, ALayerMayTakeWhatTheStoreHasLeft) {
  config_.images.store_mib = 8;
  Open();
  Allowed allowed;
  SetBuilds([&](const ImageJobRequest& request, Step) {
    allowed.Note(request);
    return FakeImageJobs::Fail(MakeError(Reason::kNoSpace, "a file system of too much"));
  });
  EXPECT_THAT(LoadTool(), HasReason(Reason::kNoSpace));
  EXPECT_LE(allowed.largest_file, 8 * kMib);
  EXPECT_GT(allowed.largest_file, 7 * kMib);
  EXPECT_EQ(allowed.room, allowed.largest_file);
}

TEST_F(ArchivesTest, AnArchiveMayTakeWhatTheStoreHasLeft) {
  config_.images.store_mib = 8;
  Open();
  Allowed allowed;
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step>) {
    allowed.Note(request);
    return std::vector<Step>{
        FakeImageJobs::Fail(MakeError(Reason::kImageTooLarge, "too many entries"))};
  });
  const absl::Status refused = LoadTool().status();
  EXPECT_THAT(refused, HasReason(Reason::kImageTooLarge));
  EXPECT_EQ(refused.message(), "too many entries") << "that has to do with no room";
  EXPECT_LE(allowed.room, 8 * kMib);
  EXPECT_GT(allowed.room, 7 * kMib);
  EXPECT_EQ(allowed.largest_file, allowed.room);
}

TEST_F(ArchivesTest, TwoArchivesShareWhatTheStoreHasLeft) {
  config_.images.store_mib = 8;
  Open();
  absl::Notification first_wrote;
  absl::Notification second_ended;
  std::atomic<int> begun = 0;
  jobs_.set_script([&](const ImageJobRequest& request, std::vector<Step> honest) {
    if (!request.spec.has_load()) return honest;
    const bool is_first = ++begun == 1;
    const int folder = request.fds.at(request.spec.load().blob_directory_fd());
    const Step write = [folder]() -> absl::StatusOr<msb::image::v1::JobEvent> {
      const std::string bytes(5 * kMib, 'x');
      const UniqueFd file(::openat(folder, "new-0", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      EXPECT_EQ(::write(file.get(), bytes.data(), bytes.size()), ssize_t{5 * kMib});
      msb::image::v1::JobEvent event;
      event.mutable_progress()->set_done_bytes(bytes.size());
      return event;
    };
    const Step after = [&, is_first, write]() -> absl::StatusOr<msb::image::v1::JobEvent> {
      if (is_first) {
        first_wrote.Notify();
        second_ended.WaitForNotification();
      }
      return write();
    };
    honest.insert(honest.begin(), {write, after});
    return honest;
  });
  absl::StatusOr<msb::v1::LoadImageResponse> first = absl::UnknownError("");
  std::thread loader([&] { first = LoadTool(); });
  first_wrote.WaitForNotification();
  const absl::Status second = Load(ArchiveOf("other:1", MakeFakeImage({"other"}))).status();
  second_ended.Notify();
  loader.join();
  EXPECT_THAT(second, HasReason(Reason::kNoSpace));
  EXPECT_OK(first);
}

TEST_F(ArchivesTest, AnArchiveIsNotBegunWhenTheStoreIsFull) {
  Open();
  ASSERT_OK(LoadTool());
  dir_.Write("store/blobs/sha256/large", std::string(2 * kMib, 'x'));
  config_.images.store_mib = 1;
  const size_t jobs = jobs_.jobs().size();
  EXPECT_THAT(LoadTool(), HasReason(Reason::kNoSpace));
  EXPECT_EQ(jobs_.jobs().size(), jobs);
}

TEST_F(ArchivesTest, TheLayersOfAnImageAreCountedTogether) {
  config_.images.max_image_mib = 1;
  Open();
  SetBuilds([](const ImageJobRequest& request, Step honest) -> Step {
    const int erofs = request.fds.at(request.spec.build_layer().erofs_fd());
    return [erofs, honest] {
      EXPECT_EQ(::ftruncate(erofs, 700'000), 0);
      return honest();
    };
  });
  const absl::Status refused = LoadTool().status();
  EXPECT_THAT(refused, HasReason(Reason::kImageTooLarge));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("images.max_image_mib"));
  EXPECT_FALSE(images_->catalog().Resolve(ann_, "tool:1").ok());
  EXPECT_OK(Load(ArchiveOf("one:1", MakeFakeImage({"base"}))));
}

}  // namespace
}  // namespace msb
