// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "absl/synchronization/notification.h"
#include "msb/v1/image.grpc.pb.h"
#include "supervisor/images/digest.h"
#include "tests/support/supervisor/api/api_fixture.h"

namespace msb {
namespace {

namespace api = msb::v1;
using Stub = api::ImageService::Stub;
using Step = FakeImageJobs::Step;
using testing::ElementsAre;

class ImageServiceTest : public ApiFixture {
 protected:
  void SetUp() override {
    ApiFixture::SetUp();
    images_ = api::ImageService::NewStub(channel_);
    daemon_.image_jobs().Serve("docker.io/library/tool:1", tool_);
  }
  CallEnd Pull(std::vector<api::PullImageResponse>& responses) {
    api::PullImageRequest request;
    request.set_image("tool:1");
    const auto context = NewContext();
    return ReadAll(*context, *images_->Pull(context.get(), request), responses);
  }
  CallEnd Pull() {
    std::vector<api::PullImageResponse> responses;
    return Pull(responses);
  }
  template <typename Request>
  static Request Of(const std::string& image) {
    Request request;
    request.set_image(image);
    return request;
  }
  std::vector<std::string> Names() {
    api::ListImagesResponse list;
    EXPECT_TRUE(Call(images_, &Stub::List, api::ListImagesRequest(), list).ok());
    std::vector<std::string> names;
    for (const auto& image : list.images()) names.push_back(image.name());
    return names;
  }
  static api::CreateRequest CreateOf(const std::string& image) {
    api::CreateRequest request;
    request.mutable_spec()->set_name("box");
    request.mutable_spec()->set_image(image);
    request.set_start(false);
    return request;
  }

  const FakeImage tool_ = MakeFakeImage({"base", "tool"}, R"({"User":"app"})");
  std::unique_ptr<Stub> images_;
};

TEST_F(ImageServiceTest, CarriesAnImageThroughItsLife) {
  std::vector<api::PullImageResponse> responses;
  const CallEnd pulled = Pull(responses);
  ASSERT_TRUE(pulled.ok()) << pulled;
  ASSERT_TRUE(responses.back().has_done());
  EXPECT_EQ(responses.back().done().digest(), tool_.digest());
  EXPECT_TRUE(responses.front().has_progress());
  EXPECT_THAT(Names(), ElementsAre("default", "docker.io/library/tool:1"));

  api::Image image;
  ASSERT_TRUE(Call(images_, &Stub::Get, Of<api::GetImageRequest>("tool:1"), image).ok());
  EXPECT_EQ(image.settings().user(), "app");
  auto tag = Of<api::TagImageRequest>("tool:1");
  tag.set_name("mine:2");
  EXPECT_TRUE(Call(images_, &Stub::Tag, tag).ok());
  EXPECT_TRUE(Call(images_, &Stub::Remove, Of<api::RemoveImageRequest>("tool:1")).ok());
  api::PruneImagesRequest prune;
  prune.set_all(true);
  EXPECT_TRUE(Call(images_, &Stub::Prune, prune).ok());
  EXPECT_THAT(Names(), ElementsAre("default"));
}

TEST_F(ImageServiceTest, CreateAloneDoesWhatItTakes) {
  api::Sandbox box;
  const CallEnd made =
      Call(sandboxes_, &api::SandboxService::Stub::Create, CreateOf("tool:1"), box);
  ASSERT_TRUE(made.ok()) << made;
  EXPECT_EQ(box.spec().image_digest(), tool_.digest());
  EXPECT_EQ(Call(images_, &Stub::Remove, Of<api::RemoveImageRequest>("tool:1")).reason,
            "IMAGE_IN_USE");
}

TEST_F(ImageServiceTest, CreateKeepsToItsPolicy) {
  auto request = CreateOf("tool:1");
  request.set_pull(api::PULL_POLICY_NEVER);
  EXPECT_EQ(Call(sandboxes_, &api::SandboxService::Stub::Create, request).reason,
            "IMAGE_NOT_FOUND");
  EXPECT_EQ(Call(sandboxes_, &api::SandboxService::Stub::Create, CreateOf("nonesuch:1")).reason,
            "IMAGE_NOT_FOUND");
  ASSERT_TRUE(Pull().ok());
  daemon_.image_jobs().Serve("docker.io/library/tool:1", MakeFakeImage({"newer"}));
  request.set_pull(api::PULL_POLICY_ALWAYS);
  api::Sandbox box;
  ASSERT_TRUE(Call(sandboxes_, &api::SandboxService::Stub::Create, request, box).ok());
  EXPECT_EQ(box.spec().image_digest(), MakeFakeImage({"newer"}).digest());
}

TEST_F(ImageServiceTest, ADigestInARequestIsOfNoEffect) {
  ASSERT_TRUE(Pull().ok());
  auto request = CreateOf("default");
  request.mutable_spec()->set_image_digest(tool_.digest());
  api::Sandbox box;
  ASSERT_TRUE(Call(sandboxes_, &api::SandboxService::Stub::Create, request, box).ok());
  EXPECT_EQ(box.spec().image_digest(), "");
}

TEST_F(ImageServiceTest, AClientThatLeavesEndsItsPull) {
  absl::Notification started;
  const auto go = std::make_shared<absl::Notification>();  // the job may outlive the test
  daemon_.image_jobs().set_script([&](const ImageJobRequest&, std::vector<Step> honest) {
    honest[0] = [&started, go]() -> absl::StatusOr<msb::image::v1::JobEvent> {
      started.Notify();
      go->WaitForNotification();
      return msb::image::v1::JobEvent();
    };
    return honest;
  });
  const auto context = NewContext();
  std::thread leaver([&] {
    started.WaitForNotification();
    context->TryCancel();
  });
  std::vector<api::PullImageResponse> responses;
  const CallEnd end = ReadAll(
      *context, *images_->Pull(context.get(), Of<api::PullImageRequest>("tool:1")), responses);
  leaver.join();
  EXPECT_EQ(end.code, grpc::StatusCode::CANCELLED);
  go->Notify();
  EXPECT_THAT(Names(), ElementsAre("default"));
}

TEST_F(ImageServiceTest, CarriesArchivesBothWays) {
  ASSERT_TRUE(Pull().ok());
  api::SaveImageRequest save;
  save.add_images("tool:1");
  const auto saving = NewContext();
  std::vector<api::SaveImageResponse> pieces;
  const CallEnd saved = ReadAll(*saving, *images_->Save(saving.get(), save), pieces);
  ASSERT_TRUE(saved.ok()) << saved;
  ASSERT_TRUE(Call(images_, &Stub::Remove, Of<api::RemoveImageRequest>("tool:1")).ok());

  const auto loading = NewContext();
  api::LoadImageResponse loaded;
  const auto writer = images_->Load(loading.get(), &loaded);
  for (const auto& piece : pieces) {
    for (const char byte : piece.data()) {
      api::LoadImageRequest request;
      request.set_data(std::string(1, byte));
      if (!writer->Write(request)) break;
    }
  }
  writer->WritesDone();
  const CallEnd end = EndOf(*loading, writer->Finish());
  ASSERT_TRUE(end.ok()) << end;
  ASSERT_EQ(loaded.images_size(), 1);
  EXPECT_EQ(loaded.images(0).digest(), tool_.digest());
}

TEST_F(ImageServiceTest, AClientThatLeavesInTheMiddleOfAnArchiveLoadsNothing) {
  absl::Notification reading;
  daemon_.image_jobs().set_script([&](const ImageJobRequest&, std::vector<Step> honest) {
    honest[0] = [&reading, read = honest[0]] {
      reading.Notify();
      return read();
    };
    return honest;
  });
  const auto context = NewContext();
  api::LoadImageResponse loaded;
  const auto writer = images_->Load(context.get(), &loaded);
  api::LoadImageRequest request;
  request.set_data("name:1\n{}");
  ASSERT_TRUE(writer->Write(request));
  reading.WaitForNotification();
  context->TryCancel();
  EXPECT_EQ(EndOf(*context, writer->Finish()).code, grpc::StatusCode::CANCELLED);
  EXPECT_THAT(Names(), ElementsAre("default"));
}

TEST_F(ImageServiceTest, RefusesWhatItCannotSave) {
  for (const char* image : {"default", "nonesuch:1", ""}) {
    api::SaveImageRequest save;
    if (*image != '\0') save.add_images(image);
    const auto context = NewContext();
    std::vector<api::SaveImageResponse> pieces;
    EXPECT_FALSE(ReadAll(*context, *images_->Save(context.get(), save), pieces).ok()) << image;
    EXPECT_TRUE(pieces.empty());
  }
}

}  // namespace
}  // namespace msb
