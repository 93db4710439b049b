// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/supervisor/fake_image_jobs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/error.h"
#include "base/unique_fd.h"
#include "supervisor/images/digest.h"

namespace msb {
namespace {

using msb::image::v1::JobEvent;

std::string ReadAll(int fd) {
  std::string text;
  char block[4096];
  ssize_t got;
  while ((got = ::read(fd, block, sizeof(block))) > 0) text.append(block, static_cast<size_t>(got));
  return text;
}

void WriteAll(int fd, const std::string& text) {
  MSB_CHECK(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

std::string Descriptor(const std::string& blob) {
  return absl::StrCat(R"({"digest":")", Sha256(blob), R"(","size":)", blob.size(), "}");
}

JobEvent ManifestEvent(const FakeImage& image) {
  JobEvent event;
  event.mutable_manifest()->set_manifest(image.manifest);
  event.mutable_manifest()->set_digest(image.digest());
  event.mutable_manifest()->set_index(image.index);
  return event;
}

}  // namespace

std::string FakeImage::digest() const { return Sha256(manifest); }

FakeImage MakeFakeImage(std::vector<std::string> layers, const std::string& settings) {
  FakeImage image;
  std::vector<std::string> diff_ids;
  std::vector<std::string> descriptors;
  for (const std::string& layer : layers) {
    diff_ids.push_back(absl::StrCat("\"", Sha256(layer), "\""));
    descriptors.push_back(Descriptor(layer));
  }
  image.config = absl::StrCat(R"({"architecture":"amd64","os":"linux","config":)", settings,
                              R"(,"rootfs":{"type":"layers","diff_ids":[)",
                              absl::StrJoin(diff_ids, ","), "]}}");
  image.manifest = absl::StrCat(R"({"schemaVersion":2,"config":)", Descriptor(image.config),
                                R"(,"layers":[)", absl::StrJoin(descriptors, ","), "]}");
  image.layers = std::move(layers);
  return image;
}

class FakeImageJob final : public ImageJob {
 public:
  FakeImageJob(FakeImageJobs& house, std::vector<FakeImageJobs::Step> steps,
               std::vector<UniqueFd> fds, const Cancellation& cancel)
      : house_(house), steps_(std::move(steps)), fds_(std::move(fds)), cancel_(cancel) {}
  ~FakeImageJob() override {
    absl::MutexLock lock(&house_.mutex_);
    --house_.running_;
  }

  absl::StatusOr<JobEvent> Next() override {
    if (cancel_.cancelled()) return absl::CancelledError("the call was ended");
    MSB_CHECK(next_ < steps_.size());
    return steps_[next_++]();
  }

 private:
  FakeImageJobs& house_;
  std::vector<FakeImageJobs::Step> steps_;
  std::vector<UniqueFd> fds_;
  const Cancellation& cancel_;
  size_t next_ = 0;
};

FakeImageJobs::Step FakeImageJobs::Say(JobEvent event) {
  return [event = std::move(event)] { return event; };
}

FakeImageJobs::Step FakeImageJobs::Fail(absl::Status status) {
  return [status = std::move(status)] { return status; };
}

JobEvent FakeImageJobs::Done() {
  JobEvent event;
  event.mutable_done();
  return event;
}

FakeImageJobs::Step FakeImageJobs::Leave(int folder, std::string blob, const std::string& digest) {
  return [folder, blob = std::move(blob), digest]() -> absl::StatusOr<JobEvent> {
    const std::string name = absl::StrCat("sha256-", HexOf(digest));
    const UniqueFd file(
        ::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    MSB_CHECK(file.valid());
    WriteAll(file.get(), blob);
    JobEvent event;
    event.set_blob_done(digest);
    return event;
  };
}

void FakeImageJobs::Serve(const std::string& name, FakeImage image) {
  absl::MutexLock lock(&mutex_);
  images_[name] = std::move(image);
}

void FakeImageJobs::set_script(Script script) {
  absl::MutexLock lock(&mutex_);
  script_ = std::move(script);
}

void FakeImageJobs::HoldSaves() {
  absl::MutexLock lock(&mutex_);
  holds_saves_ = true;
}

std::vector<msb::image::v1::JobSpec> FakeImageJobs::jobs() const {
  absl::MutexLock lock(&mutex_);
  return jobs_;
}

int FakeImageJobs::running() const {
  absl::MutexLock lock(&mutex_);
  return running_;
}

std::vector<FakeImageJobs::Step> FakeImageJobs::PullSteps(const ImageJobRequest& request) {
  const msb::image::v1::PullJob& job = request.spec.pull();
  const int folder = request.fds.at(job.blob_directory_fd());
  const auto it = std::find_if(images_.begin(), images_.end(), [&](const auto& entry) {
    const std::string place = absl::StrCat(job.registry(), "/", job.repository());
    return entry.first == absl::StrCat(place, ":", job.reference()) ||
           (entry.second.digest() == job.reference() && entry.first.rfind(place + ":", 0) == 0);
  });
  if (it == images_.end()) {
    return {Fail(MakeError(Reason::kImageNotFound, "the registry has no such image"))};
  }
  std::vector<Step> steps = {Say(ManifestEvent(it->second))};
  std::vector<std::string> blobs = {it->second.config};
  blobs.insert(blobs.end(), it->second.layers.begin(), it->second.layers.end());
  for (const std::string& blob : blobs) {
    const std::string digest = Sha256(blob);
    if (std::find(job.present().begin(), job.present().end(), digest) != job.present().end()) {
      continue;
    }
    steps.push_back(Leave(folder, blob, digest));
  }
  steps.push_back(Say(Done()));
  return steps;
}

std::vector<FakeImageJobs::Step> FakeImageJobs::BuildSteps(const ImageJobRequest& request) {
  const int tar = request.fds.at(request.spec.build_layer().tar_fd());
  const int erofs = request.fds.at(request.spec.build_layer().erofs_fd());
  return {
      [tar, erofs, diff_id = request.spec.build_layer().diff_id()]() -> absl::StatusOr<JobEvent> {
        const std::string bytes = ReadAll(tar);
        if (Sha256(bytes) != diff_id) {
          return MakeError(Reason::kImageDigestMismatch, "the layer is another");
        }
        WriteAll(erofs, absl::StrCat("erofs of ", bytes));
        JobEvent done = Done();
        done.mutable_done()->mutable_layer()->set_diff_id(diff_id);
        return done;
      }};
}

// An archive of the fake is "name\nmanifest\nconfig\nlayer\nlayer...".
std::vector<FakeImageJobs::Step> FakeImageJobs::LoadSteps(const ImageJobRequest& request) {
  const int archive = request.fds.at(request.spec.load().archive_fd());
  const int folder = request.fds.at(request.spec.load().blob_directory_fd());
  auto parts = std::make_shared<std::vector<std::string>>();
  auto next = std::make_shared<size_t>(1);
  const Step step = [=]() -> absl::StatusOr<JobEvent> {
    if (parts->empty()) *parts = absl::StrSplit(ReadAll(archive), '\n');
    if (parts->size() < 3) return MakeError(Reason::kImageInvalid, "no archive");
    if (++*next < parts->size()) {
      const std::string& blob = (*parts)[*next];
      return Leave(folder, blob, Sha256(blob))();
    }
    if (*next == parts->size()) {
      JobEvent event;
      event.mutable_manifest()->set_manifest((*parts)[1]);
      if (!(*parts)[0].empty()) event.mutable_manifest()->add_names((*parts)[0]);
      return event;
    }
    return Done();
  };
  return std::vector<Step>(64, step);
}

std::vector<FakeImageJobs::Step> FakeImageJobs::SaveSteps(const ImageJobRequest& request) {
  const auto& save = request.spec.save();
  std::map<std::string, int> fds;
  for (const auto& blob : save.blobs()) fds[blob.digest()] = request.fds.at(blob.fd());
  const int manifest_fd = fds.at(save.images(0).manifest_digest());
  const int archive = request.fds.at(save.archive_fd());
  // At once: the reader of the archive asks for events behind it.
  const std::string manifest = ReadAll(manifest_fd);
  const std::string name = save.images(0).names().empty() ? "" : save.images(0).names(0);
  std::string text = absl::StrCat(name, "\n", manifest);
  // In the order of the manifest: configuration first.
  std::map<size_t, std::string> blobs;
  for (const auto& [digest, fd] : fds) {
    if (const size_t at = manifest.find(digest); at != std::string::npos) blobs[at] = ReadAll(fd);
  }
  for (const auto& [at, blob] : blobs) absl::StrAppend(&text, "\n", blob);
  WriteAll(archive, text);
  ::close(archive);
  return {Say(Done())};
}

absl::StatusOr<std::unique_ptr<ImageJob>> FakeImageJobs::Start(const ImageJobRequest& request,
                                                               const Cancellation& cancel) {
  absl::MutexLock lock(&mutex_);
  // As a process would have them: copies, that live as long as the job.
  ImageJobRequest own = request;
  const bool holds = own.spec.has_save() && holds_saves_;
  std::vector<UniqueFd> fds;
  for (auto& [number, fd] : own.fds) {
    fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    MSB_CHECK(fd >= 0);
    // A save closes its archive itself, to end it.
    if (holds || !own.spec.has_save() || number != own.spec.save().archive_fd())
      fds.emplace_back(fd);
  }
  jobs_.push_back(request.spec);
  ++running_;
  std::vector<Step> steps = own.spec.has_pull()          ? PullSteps(own)
                            : own.spec.has_build_layer() ? BuildSteps(own)
                            : own.spec.has_load()        ? LoadSteps(own)
                            : holds                      ? std::vector<Step>()
                                                         : SaveSteps(own);
  if (script_) steps = script_(own, std::move(steps));
  return std::make_unique<FakeImageJob>(*this, std::move(steps), std::move(fds), cancel);
}

}  // namespace msb
