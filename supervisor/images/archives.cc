// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/images/archives.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "supervisor/images/digest.h"
#include "supervisor/images/import.h"
#include "supervisor/images/reference.h"
#include "supervisor/launch/poll_timeout.h"
#include "supervisor/store/ids.h"

namespace msb {
namespace {

using msb::image::v1::JobEvent;
using msb::image::v1::ManifestFound;

constexpr int kArchiveFd = kFirstImageJobFd;
constexpr int kBlobDirectoryFd = kFirstImageJobFd + 1;
constexpr size_t kChunkBytes = 256u << 10;
constexpr size_t kMaxImages = 64;  // of one archive
constexpr int kMaxNames = 64;      // of one of them
#if defined(__x86_64__)
constexpr char kArchitecture[] = "amd64";
#elif defined(__aarch64__)
constexpr char kArchitecture[] = "arm64";
#endif

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  const auto made = Syscall("pipe", [&] { return ::pipe2(ends, O_CLOEXEC); });
  if (!made.ok()) return WithReason(Reason::kHostError, "an archive", made.status());
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Waits for `events` on `fd`. kCancelled (no reason), kDeadlineExceeded (no reason).
absl::Status WaitFor(int fd, short events, const Cancellation& cancel, absl::Time deadline) {
  while (true) {
    pollfd fds[] = {{.fd = fd, .events = events, .revents = 0},
                    {.fd = cancel.fd(), .events = POLLIN, .revents = 0}};
    const int timeout_ms = PollTimeoutMs(deadline);
    const int ready = ::poll(fds, 2, timeout_ms);
    if (ready < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "poll");
    if (ready > 0 && fds[1].revents != 0) return absl::CancelledError("the call was ended");
    if (ready > 0) return absl::OkStatus();
    if (ready == 0 && timeout_ms == 0) return absl::DeadlineExceededError("nothing came");
  }
}

// Carries an archive from its source to the job while the job talks.
class Feeder {
 public:
  Feeder(ArchiveSource& source, UniqueFd pipe, const Cancellation& cancel)
      : source_(source), pipe_(std::move(pipe)), cancel_(cancel), thread_([this] { Run(); }) {}
  ~Feeder() { Finish().IgnoreError(); }
  Feeder(const Feeder&) = delete;
  Feeder& operator=(const Feeder&) = delete;

  // What went wrong with the source. Ends the carrying if it is not over.
  absl::Status Finish() {
    if (!thread_.joinable()) return status_;
    finishing_ = true;
    source_.Stop();
    thread_.join();
    return status_;
  }

 private:
  void Run() {
    // Whatever ends the carrying, the job waits for no more of the archive.
    const absl::Cleanup close = [this] { pipe_.Reset(); };
    ::fcntl(pipe_.get(), F_SETFL, O_NONBLOCK);
    while (true) {
      const absl::StatusOr<std::optional<std::string>> piece = source_.Next();
      // The job has read all that it needs.
      if (!piece.ok() && finishing_) return;
      if (!piece.ok()) {
        status_ = piece.status();
        cancel_.Cancel();  // half an archive is none
        return;
      }
      if (!*piece) return;
      if (!Write(**piece)) return;  // the job has enough of it, or ended
    }
  }

  bool Write(absl::string_view bytes) {
    while (!bytes.empty()) {
      // However slow the job is: FollowLoad ends one that is silent, and with it this wait.
      if (!WaitFor(pipe_.get(), POLLOUT, cancel_, absl::InfiniteFuture()).ok()) return false;
      const ssize_t written = ::write(pipe_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno != EAGAIN && errno != EINTR) return false;
      if (written > 0) bytes.remove_prefix(static_cast<size_t>(written));
    }
    return true;
  }

  ArchiveSource& source_;
  UniqueFd pipe_;
  const Cancellation& cancel_;
  std::atomic<bool> finishing_ = false;
  absl::Status status_;  // the thread's until it has ended
  std::thread thread_;
};

struct Unpacked {
  std::set<std::string> blobs;
  std::vector<ManifestFound> images;
};

absl::StatusOr<Unpacked> FollowLoad(const Staging& staging, const StoreSpace::Share& share,
                                    ImageJob& job, uint64_t max_blob_bytes) {
  Unpacked unpacked;
  while (true) {
    MSB_ASSIGN_OR_RETURN(const JobEvent event, job.Next());
    // At least ten times a second while it writes.
    MSB_RETURN_IF_ERROR(share.Follow());
    if (event.has_manifest()) {
      if (unpacked.images.size() == kMaxImages) {
        return MakeError(Reason::kImageTooLarge,
                         absl::StrCat("the archive has more than ", kMaxImages, " images"));
      }
      if (event.manifest().names_size() > kMaxNames) {
        return MakeError(
            Reason::kImageTooLarge,
            absl::StrCat("the archive gives an image more than ", kMaxNames, " names"));
      }
      unpacked.images.push_back(event.manifest());
    } else if (!event.blob_done().empty()) {
      if (!IsDigest(event.blob_done())) {
        return MakeError(Reason::kImageJobFailed, "msb-image sent what is no digest");
      }
      MSB_RETURN_IF_ERROR(staging.TakeBlob(event.blob_done(), max_blob_bytes));
      unpacked.blobs.insert(event.blob_done());
    } else if (event.has_done()) {
      return unpacked;
    }
  }
}

absl::StatusOr<Unpacked> Unpack(const ImageHouse& house, const Staging& staging,
                                const Cancellation& cancel, ArchiveSource& source) {
  MSB_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  MSB_ASSIGN_OR_RETURN(const UniqueFd folder, staging.OpenForJob());
  ImageJobRequest request;
  request.spec.set_id(NewId());
  msb::image::v1::LoadJob& load = *request.spec.mutable_load();
  load.set_archive_fd(kArchiveFd);
  load.set_blob_directory_fd(kBlobDirectoryFd);
  load.set_architecture(kArchitecture);
  load.set_os("linux");
  *request.spec.mutable_limits() = JobLimitsOf(house.config);
  request.fds = {{kArchiveFd, pipe.read_end.get()}, {kBlobDirectoryFd, folder.get()}};
  // Layers may stand in it unpacked.
  request.max_file_bytes =
      std::max(house.config.max_blob_mib, house.config.max_layer_mib) * kBytesPerMib;
  // Nobody knows what the archive will take until all of it is written.
  MSB_ASSIGN_OR_RETURN(const StoreSpace::Share share,
                       house.space.Reserve(0, [&] { return staging.FetchedBytes(); }));
  MSB_RETURN_IF_ERROR(share.Follow());
  LimitToRoom(share, request);
  MSB_ASSIGN_OR_RETURN(std::unique_ptr<ImageJob> job, house.jobs.Start(request, cancel));
  pipe.read_end.Reset();
  Feeder feeder(source, std::move(pipe.write_end), cancel);
  absl::StatusOr<Unpacked> unpacked = FollowLoad(staging, share, *job, request.max_file_bytes);
  // A job that was given up must not live on: the feeder waits for it to read.
  job.reset();
  const absl::Status fed = feeder.Finish();
  // Why the archive broke off says more than what the job made of its half.
  if (!fed.ok()) return fed;
  return unpacked;
}

absl::StatusOr<std::vector<ImageName>> NamesOf(const ImageHouse& house, const LoadSpec& spec,
                                               const ManifestFound& found, size_t images) {
  std::vector<std::string> words(found.names().begin(), found.names().end());
  if (!spec.name.empty() && images == 1) words = {spec.name};
  if (words.empty()) {
    return MakeError(Reason::kInvalidArgument,
                     "the archive does not say what the image is called: give it a name "
                     "(msbctl image load --name)");
  }
  std::vector<ImageName> names;
  for (const std::string& word : words) {
    MSB_RETURN_IF_ERROR(house.catalog.CheckNewName(word));
    MSB_ASSIGN_OR_RETURN(const ImageReference reference, ParseReference(word));
    names.push_back({.scope = spec.caller.sees_all ? kEverybody : int64_t{spec.caller.uid},
                     .name = reference.Name()});
  }
  return names;
}

absl::StatusOr<msb::v1::LoadImageResponse> LoadInto(const ImageHouse& house, const LoadSpec& spec,
                                                    const Staging& staging,
                                                    const Cancellation& cancel,
                                                    ArchiveSource& source) {
  MSB_ASSIGN_OR_RETURN(const Unpacked unpacked, Unpack(house, staging, cancel, source));
  if (unpacked.images.empty()) {
    return MakeError(Reason::kImageUnsupported,
                     "the archive has no image for this host's processor");
  }
  msb::v1::LoadImageResponse response;
  for (const ManifestFound& found : unpacked.images) {
    MSB_ASSIGN_OR_RETURN(std::vector<ImageName> names,
                         NamesOf(house, spec, found, unpacked.images.size()));
    Import import(house, staging, cancel, unpacked.blobs, [](const msb::v1::PullProgress&) {});
    MSB_RETURN_IF_ERROR(import.TakeManifest(found));
    MSB_RETURN_IF_ERROR(import.TakePresent());
    MSB_ASSIGN_OR_RETURN(*response.add_images(), import.Finish(spec.caller, std::move(names),
                                                               msb::v1::ImageEvent::KIND_LOADED));
  }
  return response;
}

// The blobs of an image that is saved, each once.
absl::Status AddImage(const ImageHouse& house, const Caller& caller, const std::string& text,
                      std::set<std::string>& blobs, msb::image::v1::SaveJob& job) {
  if (house.catalog.IsBuiltIn(text)) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("'", text, "' is a built-in image, which has no layers to save"));
  }
  MSB_ASSIGN_OR_RETURN(const ImageCatalog::Resolved resolved, house.catalog.Resolve(caller, text));
  MSB_ASSIGN_OR_RETURN(const ImageRecord record, house.catalog.Record(resolved.digest));
  msb::image::v1::SavedImage& saved = *job.add_images();
  saved.set_manifest_digest(record.digest);
  if (const auto reference = ParseReference(text); !IsDigestPrefix(text) && reference.ok()) {
    if (reference->digest.empty()) saved.add_names(reference->Name());
  }
  blobs.insert({record.digest, record.config_digest});
  for (const ImageLayerRecord& layer : record.layers) blobs.insert(layer.blob_digest);
  return absl::OkStatus();
}

// `silence`: a job that writes nothing for so long has failed.
absl::Status Drain(int pipe, const Cancellation& cancel, absl::Duration silence,
                   const ArchiveSink& sink) {
  while (true) {
    const absl::Status waited = WaitFor(pipe, POLLIN, cancel, absl::Now() + silence);
    if (absl::IsDeadlineExceeded(waited)) {
      return MakeError(Reason::kImageJobFailed,
                       absl::StrCat("msb-image wrote nothing of the archive for ",
                                    absl::FormatDuration(silence), " (images.silence_timeout)"));
    }
    MSB_RETURN_IF_ERROR(waited);
    std::string bytes(kChunkBytes, '\0');
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("read an archive", [&] {
                           return ::read(pipe, bytes.data(), bytes.size());
                         }));
    if (got == 0) return absl::OkStatus();
    bytes.resize(static_cast<size_t>(got));
    if (!sink(std::move(bytes))) return absl::CancelledError("nobody takes the archive");
  }
}

absl::Status FollowSave(ImageJob& job) {
  while (true) {
    MSB_ASSIGN_OR_RETURN(const JobEvent event, job.Next());
    if (event.has_done()) return absl::OkStatus();
  }
}

}  // namespace

absl::StatusOr<msb::v1::LoadImageResponse> LoadImages(const ImageHouse& house, const LoadSpec& spec,
                                                      const Cancellation& cancel,
                                                      ArchiveSource& source) {
  const ImageCatalog::Operation operation(house.catalog);
  if (!spec.name.empty()) {
    MSB_RETURN_IF_ERROR(house.catalog.CheckNewName(spec.name));
    MSB_RETURN_IF_ERROR(ParseReference(spec.name).status());
  }
  MSB_ASSIGN_OR_RETURN(const Staging staging,
                       house.folders.Acquire(absl::StrCat("load-", NewId()), house.jobs.uid()));
  auto response = LoadInto(house, spec, staging, cancel, source);
  if (!response.ok()) house.catalog.Sweep();
  if (const absl::Status removed = staging.Remove(); !removed.ok()) {
    MSB_LOG(kWarning) << removed.message();
  }
  house.folders.Release(staging);
  return response;
}

absl::Status SaveImages(const ImageHouse& house, const Caller& caller,
                        const std::vector<std::string>& images, const Cancellation& cancel,
                        const ArchiveSink& sink) {
  const ImageCatalog::Operation operation(house.catalog);
  ImageJobRequest request;
  request.spec.set_id(NewId());
  msb::image::v1::SaveJob& save = *request.spec.mutable_save();
  save.set_archive_fd(kArchiveFd);
  std::set<std::string> blobs;
  for (const std::string& image : images) {
    MSB_RETURN_IF_ERROR(AddImage(house, caller, image, blobs, save));
  }
  if (blobs.size() >= kMaxImageJobFds) {
    return MakeError(Reason::kImageTooLarge,
                     absl::StrCat("these images have ", blobs.size(), " parts; at most ",
                                  kMaxImageJobFds - 1, " fit an archive: save fewer at once"));
  }
  MSB_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  request.fds[kArchiveFd] = pipe.write_end.get();
  std::vector<UniqueFd> files;
  for (const std::string& digest : blobs) {
    const std::string path = house.content.BlobPath(digest);
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.valid()) return StoreError("the image store", absl::ErrnoToStatus(errno, path));
    const int number = kArchiveFd + 1 + static_cast<int>(files.size());
    request.fds[number] = file.get();
    msb::image::v1::Blob& blob = *save.add_blobs();
    blob.set_digest(digest);
    blob.set_fd(number);
    files.push_back(std::move(file));
  }
  *request.spec.mutable_limits() = JobLimitsOf(house.config);
  request.max_file_bytes = kBytesPerMib;  // it writes to a pipe alone
  MSB_ASSIGN_OR_RETURN(const std::unique_ptr<ImageJob> job, house.jobs.Start(request, cancel));
  pipe.write_end.Reset();
  const absl::Status drained =
      Drain(pipe.read_end.get(), cancel, house.config.silence_timeout, sink);
  pipe.read_end.Reset();
  if (!drained.ok()) return drained;
  return FollowSave(*job);
}

}  // namespace msb
