// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The catalogue by itself: what is told of many images, and how many names there may be.

#include "supervisor/images/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "supervisor/images/digest.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr size_t kMaxNames = 300;

class ImageCatalogTest : public testing::Test {
 protected:
  void SetUp() override {
    auto content = ContentStore::Open(dir_.path() + "/store");
    ASSERT_OK(content);
    content_ = *std::move(content);
    auto catalog = ImageCatalog::Open(*content_, dir_.path() + "/assets", events_, kMaxNames);
    ASSERT_OK(catalog);
    catalog_ = *std::move(catalog);
  }

  static ImageRecord ImageOf(const std::string& word, const std::vector<std::string>& layers) {
    ImageRecord image{.digest = Sha256(word), .config_digest = Sha256("config of " + word)};
    for (const std::string& layer : layers) {
      image.layers.push_back({.diff_id = Sha256(layer),
                              .blob_digest = Sha256("blob of " + layer),
                              .blob_bytes = 1,
                              .bytes = 2});
    }
    return image;
  }
  // "docker.io/library/<word>:<n>", the caller's own.
  static std::vector<ImageName> NamesOf(const Caller& caller, const std::string& word,
                                        size_t count) {
    std::vector<ImageName> names;
    for (size_t i = 0; i < count; ++i) {
      names.push_back(
          {.scope = int64_t{caller.uid}, .name = absl::StrCat("docker.io/library/", word, ":", i)});
    }
    return names;
  }
  absl::StatusOr<msb::v1::Image> Add(const Caller& caller, const std::string& word, size_t names,
                                     const std::vector<std::string>& layers = {"base"}) {
    return catalog_->Add(caller, ImageOf(word, layers), NamesOf(caller, word, names),
                         msb::v1::ImageEvent::KIND_LOADED);
  }

  const Caller root_{.uid = 0, .sees_all = true};
  const Caller ann_{.uid = 1001};
  const Caller bob_{.uid = 1002};
  TempDir dir_;
  EventRing events_{64};
  std::optional<ContentStore> content_;
  std::unique_ptr<ImageCatalog> catalog_;
};

TEST_F(ImageCatalogTest, AListRepeatsNoNames) {
  ASSERT_OK(Add(ann_, "tool", kMaxNames));

  const msb::v1::ListImagesResponse list = catalog_->List(ann_);

  ASSERT_EQ(static_cast<size_t>(list.images_size()), kMaxNames);
  for (const msb::v1::Image& image : list.images()) {
    EXPECT_THAT(image.names(), ElementsAre(image.name()));
    EXPECT_EQ(image.digest(), Sha256("tool"));
    EXPECT_EQ(image.owner_uid(), ann_.uid);
  }
  ASSERT_OK_AND_ASSIGN(const msb::v1::Image image, catalog_->Get(ann_, "tool:7"));
  EXPECT_EQ(image.name(), "docker.io/library/tool:7");
  EXPECT_EQ(static_cast<size_t>(image.names_size()), kMaxNames);
}

TEST_F(ImageCatalogTest, AUserHasAsManyNamesAsAreAllowed) {
  ASSERT_OK(Add(ann_, "tool", kMaxNames - 1));
  ASSERT_OK(catalog_->Tag(ann_, "tool:0", "last"));

  const absl::Status refused = catalog_->Tag(ann_, "tool:0", "one-more").status();
  EXPECT_THAT(refused, HasReason(Reason::kLimitExceeded));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("images.max_names"));
  EXPECT_THAT(catalog_->Resolve(ann_, "one-more"), HasReason(Reason::kImageNotFound));
  EXPECT_THAT(Add(ann_, "other", 1), HasReason(Reason::kLimitExceeded));
  EXPECT_THAT(catalog_->Resolve(ann_, Sha256("other")), HasReason(Reason::kImageNotFound));

  EXPECT_OK(catalog_->Tag(ann_, "tool:0", "last")) << "a name that is there is none more";
  EXPECT_OK(Add(bob_, "tool", 1)) << "another's names are not theirs";
  ASSERT_OK(catalog_->Remove(ann_, "last"));
  EXPECT_OK(catalog_->Tag(ann_, "tool:0", "one-more"));
}

TEST_F(ImageCatalogTest, ManyNamesAtOnceAreCountedTogether) {
  EXPECT_THAT(Add(ann_, "tool", kMaxNames + 1), HasReason(Reason::kLimitExceeded));
  EXPECT_EQ(catalog_->List(root_).images_size(), 0);
}

TEST_F(ImageCatalogTest, CountsWhatSharesALayerOnce) {
  ASSERT_OK(Add(ann_, "one", 2, {"base", "base", "one"}));
  ASSERT_OK(Add(ann_, "two", 2, {"base", "two"}));
  const msb::v1::ListImagesResponse list = catalog_->List(ann_);
  ASSERT_EQ(list.images_size(), 4);
  for (const msb::v1::Image& image : list.images()) {
    EXPECT_EQ(image.layers(0).images(), 2u);
    EXPECT_EQ(image.layers().rbegin()->images(), 1u);
  }
  ASSERT_OK_AND_ASSIGN(const msb::v1::Image one, catalog_->Get(ann_, "one:0"));
  EXPECT_EQ(one.layers(1).images(), 2u);
  EXPECT_EQ(one.size_bytes(), 4u);
}

TEST_F(ImageCatalogTest, TellsNobodyThatAnothersImageHasALayer) {
  ASSERT_OK(Add(ann_, "one", 1));
  ASSERT_OK_AND_ASSIGN(const msb::v1::Image added, Add(bob_, "two", 1));
  EXPECT_EQ(added.layers(0).images(), 1u);
  EXPECT_EQ(catalog_->List(bob_).images(0).layers(0).images(), 1u);
  EXPECT_EQ(catalog_->Get(root_, Sha256("two"))->layers(0).images(), 2u);
  // A sandbox shows its owner the image that it is made of.
  ASSERT_OK(catalog_->Pin("id1", {.sandbox = "box", .owner_uid = bob_.uid}, Sha256("one")));
  EXPECT_EQ(catalog_->Get(bob_, "two:0")->layers(0).images(), 2u);
}

}  // namespace
}  // namespace msb
