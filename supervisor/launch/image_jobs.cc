// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/image_jobs.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/error.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/launch/cgroup.h"
#include "supervisor/launch/companion_log.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/jailer_command.h"
#include "supervisor/launch/jailer_run.h"
#include "supervisor/launch/poll_timeout.h"
#include "supervisor/launch/process.h"
#include "supervisor/launch/runtime_files.h"
#include "supervisor/launch/sealed_frame.h"

namespace msb {
namespace {

using msb::image::v1::JobEvent;

constexpr size_t kMaxEventBytes = 10u << 20;  // proto/msb/image/v1/image.proto
constexpr size_t kReadBytes = 64u << 10;
constexpr size_t kMaxMessageBytes = 1024;
// From its last event, or the end of its socket, to its own end.
constexpr absl::Duration kEndTimeout = absl::Seconds(10);

struct Ends {
  UniqueFd ours;
  UniqueFd theirs;
};

absl::StatusOr<Ends> MakeEventSocket() {
  int fds[2];
  MSB_RETURN_IF_ERROR(Syscall(
      "socketpair", [&] { return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds); }));
  return Ends{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

absl::Status Failed(absl::string_view what) { return MakeError(Reason::kImageJobFailed, what); }

// The words are those of a process that reads hostile bytes.
absl::Status StatusOf(const msb::image::v1::JobError& error) {
  const Reason reason = ReasonFromNumber(error.reason());
  const std::string message =
      EscapeForLog(absl::string_view(error.message()).substr(0, kMaxMessageBytes));
  if (reason == Reason::kNoSpace) {
    return MakeError(reason, absl::StrCat(message, "; msbctl image prune frees what nobody needs"));
  }
  return MakeError(reason == Reason::kUnspecified ? Reason::kImageJobFailed : reason, message);
}

class JailedImageJob final : public ImageJob {
 public:
  JailedImageJob(const CgroupLayout& layout, std::string cgroup, const LaunchOptions& launch,
                 const ImageJobOptions& options, const Cancellation& cancel)
      : layout_(layout),
        cgroup_(std::move(cgroup)),
        launch_(launch),
        options_(options),
        cancel_(cancel) {}

  ~JailedImageJob() override { Clear(); }

  absl::Status Launch(const ImageJobRequest& request, uint32_t uid) {
    MSB_ASSIGN_OR_RETURN(Ends ends, MakeEventSocket());
    MSB_ASSIGN_OR_RETURN(log_, MakeCompanionLog(options_.log_bytes));
    msb::image::v1::JobSpec spec = request.spec;
    spec.set_event_fd(kImageJobEventFd);
    MSB_ASSIGN_OR_RETURN(const UniqueFd spec_fd, MakeSealedFrame(spec.SerializeAsString()));
    JailRequest jail{
        .command_line = JailerCommandLine(request, uid, cgroup_, launch_, options_, layout_),
        .executable = options_.program,
        .fds = request.fds,
        .log_fd = log_.get()};
    jail.fds[kImageJobSpecFd] = spec_fd.get();
    jail.fds[kImageJobEventFd] = ends.theirs.get();
    MSB_ASSIGN_OR_RETURN(JailerRun jailer, JailerRun::Start(jail, launch_));
    const JailerOutcome outcome = std::move(jailer).Finish();
    if (outcome.pid) {
      // A child of ours that nobody reaps before Clear: the pid is its own.
      MSB_ASSIGN_OR_RETURN(pidfd_, OpenPidfd(*outcome.pid));
    }
    MSB_RETURN_IF_ERROR(outcome.status);
    events_ = std::move(ends.ours);
    return absl::OkStatus();
  }

  absl::StatusOr<JobEvent> Next() override {
    const absl::Time deadline = absl::Now() + options_.silence_timeout;
    while (true) {
      MSB_ASSIGN_OR_RETURN(const std::optional<absl::string_view> frame, reader_.Next());
      if (frame) return Parse(*frame);
      MSB_RETURN_IF_ERROR(WaitForBytes(deadline));
      MSB_RETURN_IF_ERROR(ReadSome());
    }
  }

 private:
  static absl::StatusOr<JobEvent> Parse(absl::string_view frame) {
    JobEvent event;
    if (!event.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
      return Failed("msb-image sent what is no event");
    }
    if (event.has_error()) return StatusOf(event.error());
    return event;
  }

  absl::Status WaitForBytes(absl::Time deadline) {
    while (true) {
      pollfd fds[] = {{.fd = events_.get(), .events = POLLIN, .revents = 0},
                      {.fd = cancel_.fd(), .events = POLLIN, .revents = 0}};
      const int timeout_ms = PollTimeoutMs(deadline);
      const int ready = ::poll(fds, 2, timeout_ms);
      if (ready < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "poll");
      if (ready > 0 && fds[1].revents != 0) return absl::CancelledError("the call was ended");
      if (ready > 0) return absl::OkStatus();
      if (timeout_ms == 0) {
        return Failed(absl::StrCat("msb-image said nothing for ",
                                   absl::FormatDuration(options_.silence_timeout),
                                   " (images.silence_timeout)"));
      }
    }
  }

  absl::Status ReadSome() {
    std::string bytes(kReadBytes, '\0');
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("read an event", [&] {
                           return ::recv(events_.get(), bytes.data(), bytes.size(), 0);
                         }));
    if (got == 0) return DescribeEnd();
    reader_.Append(absl::string_view(bytes).substr(0, static_cast<size_t>(got)));
    return absl::OkStatus();
  }

  // Why it hung up without a last event.
  absl::Status DescribeEnd() {
    std::string what = "msb-image hung up";
    if (const auto usage = Cgroup(layout_, cgroup_).ReadUsage(); usage.ok() && usage->oom_killed) {
      what = absl::StrCat("msb-image needed more than images.memory_mib = ", options_.memory_mib);
    } else if (WaitForEnd(pidfd_, absl::Now() + kEndTimeout).ok()) {
      const std::optional<int> status = Reap(pidfd_);
      if (status && WIFSIGNALED(*status)) {
        what = absl::StrCat("msb-image was ended by signal ", WTERMSIG(*status));
      } else if (status) {
        what = absl::StrCat("msb-image ended with code ", WEXITSTATUS(*status));
      }
    }
    const auto log = ReadCompanionLog(log_, options_.log_bytes);
    if (log.ok() && !log->empty()) absl::StrAppend(&what, ": ", LastLine(*log));
    return Failed(what);
  }

  void Clear() {
    events_.Reset();
    const absl::Time deadline = absl::Now() + launch_.kill_timeout;
    const Cgroup cgroup(layout_, cgroup_);
    absl::Status cleared;
    if (pidfd_.valid()) {
      cleared.Update(Kill(pidfd_));
      cleared.Update(WaitForEnd(pidfd_, deadline));
    }
    cleared.Update(cgroup.Kill(deadline));
    if (pidfd_.valid()) Reap(pidfd_);
    cleared.Update(cgroup.Remove());
    if (!cleared.ok()) {
      MSB_LOG(kError) << "clearing up " << cgroup_ << ": " << cleared.message();
    }
  }

  const CgroupLayout& layout_;
  const std::string cgroup_;
  const LaunchOptions& launch_;
  const ImageJobOptions& options_;
  const Cancellation& cancel_;
  UniqueFd pidfd_;
  UniqueFd events_;
  UniqueFd log_;
  FrameReader reader_{kMaxEventBytes};
};

// Names in the folder of our cgroups that begin with `prefix`, in any hierarchy.
absl::StatusOr<std::set<std::string>> CgroupsWithPrefix(const CgroupLayout& layout,
                                                        const std::string& parent,
                                                        const std::string& prefix) {
  std::set<std::string> names;
  for (const CgroupHierarchy& hierarchy : layout.hierarchies) {
    const std::string folder = absl::StrCat(hierarchy.mount, "/", parent);
    const auto found = ListHostDirectory(folder);
    if (!found.ok()) return WithReason(Reason::kHostError, "cgroups", found.status());
    for (const std::string& name : *found) {
      if (absl::StartsWith(name, prefix)) names.insert(name);
    }
  }
  return names;
}

}  // namespace

absl::StatusOr<std::unique_ptr<JailedImageJobs>> JailedImageJobs::Create(LaunchOptions launch,
                                                                         ImageJobOptions options) {
  MSB_ASSIGN_OR_RETURN(CgroupLayout layout, DetectCgroupLayout());
  const absl::Status made = MakePrivateDirectory(launch.runtime_root);
  if (!made.ok()) return WithReason(Reason::kHostError, "the runtime directory", made);
  return std::unique_ptr<JailedImageJobs>(
      new JailedImageJobs(std::move(launch), std::move(options), std::move(layout)));
}

// No sandbox's id has a hyphen.
std::string JailedImageJobs::CgroupPrefix() const {
  return absl::StrCat("image-", options_.instance, "-");
}

absl::StatusOr<std::unique_ptr<ImageJob>> JailedImageJobs::Start(const ImageJobRequest& request,
                                                                 const Cancellation& cancel) {
  MSB_CHECK(request.fds.size() <= kMaxImageJobFds);
  const std::string cgroup =
      absl::StrCat(launch_.cgroup_parent, "/", CgroupPrefix(), request.spec.id());
  auto job = std::make_unique<JailedImageJob>(layout_, cgroup, launch_, options_, cancel);
  MSB_RETURN_IF_ERROR(job->Launch(request, uid()));
  return job;
}

absl::Status JailedImageJobs::ClearLeftovers() {
  MSB_ASSIGN_OR_RETURN(const std::set<std::string> names,
                       CgroupsWithPrefix(layout_, launch_.cgroup_parent, CgroupPrefix()));
  for (const std::string& name : names) {
    const Cgroup cgroup(layout_, absl::StrCat(launch_.cgroup_parent, "/", name));
    MSB_RETURN_IF_ERROR(cgroup.Kill(absl::Now() + launch_.kill_timeout));
    MSB_RETURN_IF_ERROR(cgroup.Remove());
  }
  if (!names.empty()) {
    MSB_LOG(kWarning) << "ended " << names.size() << " image jobs of an earlier life";
  }
  return absl::OkStatus();
}

}  // namespace msb
