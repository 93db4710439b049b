// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Stands in for msb-image: a registry in memory, whose images come event by event. What a hostile
// process would do is a line of a test.

#ifndef MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_IMAGE_JOBS_H_
#define MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_IMAGE_JOBS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "supervisor/launch/image_jobs.h"

namespace msb {

// An image as a registry has it.
struct FakeImage {
  std::string manifest;
  std::string config;
  std::vector<std::string> layers;  // their bytes; the tar is the blob
  std::string index;

  std::string digest() const;
};

// `layers`: any bytes. `settings`: the "config" object of the configuration.
FakeImage MakeFakeImage(std::vector<std::string> layers, const std::string& settings = "{}");

class FakeImageJobs final : public ImageJobs {
 public:
  // Under "registry/repository:tag".
  void Serve(const std::string& name, FakeImage image);

  // What a job does instead of what it should; the job's folder or files are `spec`'s descriptors
  // in `fds`.
  using Step = std::function<absl::StatusOr<msb::image::v1::JobEvent>()>;
  using Script = std::function<std::vector<Step>(const ImageJobRequest&, std::vector<Step> honest)>;
  void set_script(Script script);

  // From now on a save writes nothing and ends no archive, however long it is waited for.
  void HoldSaves();

  // Jobs that began, in their order.
  std::vector<msb::image::v1::JobSpec> jobs() const;
  int running() const;

  absl::StatusOr<std::unique_ptr<ImageJob>> Start(const ImageJobRequest& request,
                                                  const Cancellation& cancel) override;
  absl::Status ClearLeftovers() override { return absl::OkStatus(); }
  uint32_t uid() const override { return 0; }

  // Helpers of scripts.
  static Step Say(msb::image::v1::JobEvent event);
  // Leaves a blob in the job's folder, and says so.
  static Step Leave(int folder, std::string blob, const std::string& digest);
  static Step Fail(absl::Status status);
  static msb::image::v1::JobEvent Done();

 private:
  friend class FakeImageJob;
  std::vector<Step> PullSteps(const ImageJobRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static std::vector<Step> BuildSteps(const ImageJobRequest& request);
  static std::vector<Step> LoadSteps(const ImageJobRequest& request);
  static std::vector<Step> SaveSteps(const ImageJobRequest& request);

  mutable absl::Mutex mutex_;
  std::map<std::string, FakeImage> images_ ABSL_GUARDED_BY(mutex_);
  Script script_ ABSL_GUARDED_BY(mutex_);
  bool holds_saves_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<msb::image::v1::JobSpec> jobs_ ABSL_GUARDED_BY(mutex_);
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_IMAGE_JOBS_H_
