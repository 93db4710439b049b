// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Runs msb-image: a process that belongs to no sandbox, does one job with an image
// (proto/msb/image/v1) and is gone. An interface, so that the store is tested against a fake.
//
// All of them are one user. They cannot see each other: each has an empty root, its own processes
// and the descriptors of its job, nothing else.

#ifndef MSB_SUPERVISOR_LAUNCH_IMAGE_JOBS_H_
#define MSB_SUPERVISOR_LAUNCH_IMAGE_JOBS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "msb/image/v1/image.pb.h"
#include "supervisor/launch/cancellation.h"
#include "supervisor/launch/cgroup_layout.h"
#include "supervisor/launch/launch_options.h"

namespace msb {

inline constexpr int kImageJobSpecFd = 3;
inline constexpr int kImageJobEventFd = 4;
// Numbers of a job's own descriptors, as its JobSpec names them.
inline constexpr int kFirstImageJobFd = 42;  // behind the jailer's own
inline constexpr int kMaxImageJobFds = 200;  // a save passes each blob of its images

enum class ImageJobNetwork { kNone, kHost };

struct ImageJobRequest {
  // `id` is one that no other job had, [0-9a-z]+; `event_fd` is filled in.
  msb::image::v1::JobSpec spec;
  // Number there -> descriptor here, the caller's until Start has returned.
  std::map<int, int> fds;
  ImageJobNetwork network = ImageJobNetwork::kNone;
  uint64_t max_file_bytes = 0;  // no file that it writes grows beyond this
};

// A job that runs. Its end, by itself or by the destructor, leaves no process and no cgroup.
class ImageJob {
 public:
  ImageJob() = default;
  virtual ~ImageJob() = default;  // kills what is left; blocks for some milliseconds
  ImageJob(const ImageJob&) = delete;
  ImageJob& operator=(const ImageJob&) = delete;

  // Blocks. The last event is `done`; an `error` is returned as a Status with its reason. Else
  // kImageJobFailed: it ended or fell silent, or broke the protocol; kCancelled (no reason).
  virtual absl::StatusOr<msb::image::v1::JobEvent> Next() = 0;
};

class ImageJobs {
 public:
  virtual ~ImageJobs() = default;
  // Thread-safe; blocks for some milliseconds. `cancel` outlives the job.
  virtual absl::StatusOr<std::unique_ptr<ImageJob>> Start(const ImageJobRequest& request,
                                                          const Cancellation& cancel) = 0;
  // Kills what an earlier life of the daemon left.
  virtual absl::Status ClearLeftovers() = 0;
  // Who owns the directories that a job writes into.
  virtual uint32_t uid() const = 0;
};

struct ImageJobOptions {
  std::string program;  // msb-image
  // Tells this daemon's jobs from another's on the host: [a-z0-9]+.
  std::string instance;
  uint32_t memory_mib = 512;
  uint32_t cpu_milli = 2000;
  uint32_t pids_max = 64;
  uint64_t log_bytes = 64u << 10;
  absl::Duration silence_timeout;  // without an event
};

class JailedImageJobs final : public ImageJobs {
 public:
  static absl::StatusOr<std::unique_ptr<JailedImageJobs>> Create(LaunchOptions launch,
                                                                 ImageJobOptions options);
  absl::StatusOr<std::unique_ptr<ImageJob>> Start(const ImageJobRequest& request,
                                                  const Cancellation& cancel) override;
  absl::Status ClearLeftovers() override;
  uint32_t uid() const override { return launch_.base_uid + kImageJobsUser; }

 private:
  JailedImageJobs(LaunchOptions launch, ImageJobOptions options, CgroupLayout layout)
      : launch_(std::move(launch)), options_(std::move(options)), layout_(std::move(layout)) {}
  std::string CgroupPrefix() const;

  const LaunchOptions launch_;
  const ImageJobOptions options_;
  const CgroupLayout layout_;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_IMAGE_JOBS_H_
