// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The real jailer, and a program that stands in for msb-image.

#include "supervisor/launch/image_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "supervisor/images/staging.h"
#include "tests/support/launch/launch_fixture.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

using testing::HasSubstr;

class ImageJobsTest : public LaunchFixture {
 protected:
  void SetUp() override {
    LaunchFixture::SetUp();
    if (!IsSkipped()) jobs_ = NewJobs();
  }
  void TearDown() override {
    EXPECT_EQ(Cgroups(), 0);
    LaunchFixture::TearDown();
  }
  std::unique_ptr<JailedImageJobs> NewJobs(const std::string& instance = "here",
                                           absl::Duration silence = absl::Minutes(1)) {
    ImageJobOptions options{.program = MSB_FAKE_IMAGE_PROGRAM_PATH, .instance = instance};
    options.silence_timeout = silence;
    auto jobs = JailedImageJobs::Create(options_, options);
    EXPECT_OK(jobs);
    return *std::move(jobs);
  }
  static ImageJobRequest RequestOf(const std::string& id) {
    ImageJobRequest request;
    request.spec.set_id(id);
    request.max_file_bytes = 1 << 20;
    return request;
  }
  // How a job ends that sends no more than an error.
  absl::Status EndOf(const ImageJobRequest& request) {
    auto job = jobs_->Start(request, cancel_);
    if (!job.ok()) return job.status();
    return (*job)->Next().status();
  }
  int Cgroups() const {
    int count = 0;
    for (const CgroupHierarchy& hierarchy : layout_.hierarchies) {
      std::error_code ignored;
      for (const auto& entry : std::filesystem::directory_iterator(
               absl::StrCat(hierarchy.mount, "/", options_.cgroup_parent), ignored)) {
        if (absl::StartsWith(entry.path().filename().string(), "image-")) ++count;
      }
    }
    return count;
  }

  const Cancellation cancel_;
  std::unique_ptr<JailedImageJobs> jobs_;
};

TEST_F(ImageJobsTest, DeliversTheEventsOfAJob) {
  ASSERT_OK_AND_ASSIGN(const auto job, jobs_->Start(RequestOf("done1"), cancel_));
  ASSERT_OK_AND_ASSIGN(const auto first, job->Next());
  EXPECT_EQ(first.progress().done_bytes(), 7u);
  ASSERT_OK_AND_ASSIGN(const auto last, job->Next());
  EXPECT_TRUE(last.has_done());
}

TEST_F(ImageJobsTest, AJobHasNothingButWhatItIsGiven) {
  const absl::Status told = EndOf(RequestOf("tell1"));
  EXPECT_THAT(
      std::string(told.message()),
      HasSubstr(absl::StrCat("uid=", jobs_->uid(), " groups=0 fds=0,1,2,3,4, resolv=no proc=no")));
}

TEST_F(ImageJobsTest, OnlyAPullHasTheHostsNetworkFiles) {
  ImageJobRequest request = RequestOf("tell2");
  request.network = ImageJobNetwork::kHost;
  EXPECT_THAT(std::string(EndOf(request).message()), HasSubstr("resolv=yes"));
}

TEST_F(ImageJobsTest, ItsFolderLeadsNowhere) {
  ASSERT_OK_AND_ASSIGN(const Staging staging,
                       Staging::Open(folder_.path() + "/staging", jobs_->uid()));
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, staging.OpenForJob());
  ImageJobRequest request = RequestOf("write1");
  request.spec.mutable_pull()->set_blob_directory_fd(kFirstImageJobFd);
  request.fds = {{kFirstImageJobFd, fd.get()}};
  EXPECT_THAT(std::string(EndOf(request).message()), HasSubstr("wrote=yes left=no"));
}

TEST_F(ImageJobsTest, SaysHowAJobDied) {
  const absl::Status died = EndOf(RequestOf("die1"));
  EXPECT_THAT(died, HasReason(Reason::kImageJobFailed));
  EXPECT_THAT(std::string(died.message()), HasSubstr("ended with code 7: the last words"));
}

TEST_F(ImageJobsTest, BelievesNoFrame) {
  EXPECT_THAT(EndOf(RequestOf("rubbish1")), HasReason(Reason::kImageJobFailed));
  EXPECT_THAT(EndOf(RequestOf("large1")), HasReason(Reason::kFrameTooLarge));
}

TEST_F(ImageJobsTest, EndsAJobThatFallsSilent) {
  jobs_ = NewJobs("here", absl::Milliseconds(50));
  EXPECT_THAT(EndOf(RequestOf("hang1")), HasReason(Reason::kImageJobFailed));
  EXPECT_EQ(Cgroups(), 0);
}

TEST_F(ImageJobsTest, ACancelledJobIsGoneWithItsChildren) {
  ASSERT_OK_AND_ASSIGN(auto job, jobs_->Start(RequestOf("hang2"), cancel_));
  std::thread canceller([&] { cancel_.Cancel(); });
  EXPECT_TRUE(absl::IsCancelled(job->Next().status()));
  canceller.join();
  EXPECT_GT(Cgroups(), 0);
  job.reset();
  EXPECT_EQ(Cgroups(), 0);
}

TEST_F(ImageJobsTest, ANewLifeEndsItsOwnJobsAndNoOthers) {
  const auto others = NewJobs("elsewhere");
  ASSERT_OK_AND_ASSIGN(auto left, jobs_->Start(RequestOf("hang3"), cancel_));
  ASSERT_OK_AND_ASSIGN(auto other, others->Start(RequestOf("hang4"), cancel_));
  const int both = Cgroups();
  ASSERT_OK(NewJobs()->ClearLeftovers());
  EXPECT_EQ(Cgroups(), both / 2);
  EXPECT_THAT(left->Next(), HasReason(Reason::kImageJobFailed));
}

TEST_F(ImageJobsTest, AProgramThatIsNotThereIsAMissingAsset) {
  ImageJobOptions options{.program = "/nonesuch", .instance = "here"};
  ASSERT_OK_AND_ASSIGN(const auto jobs, JailedImageJobs::Create(options_, options));
  EXPECT_THAT(jobs->Start(RequestOf("done2"), cancel_), HasReason(Reason::kAssetMissing));
}

}  // namespace
}  // namespace msb
