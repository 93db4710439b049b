// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A registry with one repository, "team/tool", and one image in it, for tests.

#ifndef MSB_IMAGE_REGISTRY_FAKE_REGISTRY_H_
#define MSB_IMAGE_REGISTRY_FAKE_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "image/blob/digest.h"
#include "image/manifest/manifest.h"
#include "image/manifest/manifest_writer.h"
#include "image/registry/fake_server.h"

namespace msb::image {

class FakeRegistry {
 public:
  // Asked first; nullopt: the registry answers as a good one does. Set before requests come.
  using Intercept = std::function<std::optional<FakeReply>(const FakeRequest&)>;

  explicit FakeRegistry(std::shared_ptr<SSL_CTX> tls = nullptr)
      : server_([this](const FakeRequest& request) { return Answer(request); }, std::move(tls)) {}

  FakeServer& server() { return server_; }

  std::string AddBlob(const std::string& bytes) {
    const std::string digest = Sha256::Of(bytes).text();
    blobs_[digest] = bytes;
    return digest;
  }
  void AddManifest(const std::string& reference, const std::string& bytes,
                   const std::string& media_type = media_type::kOciManifest) {
    manifests_[reference] = {media_type, bytes};
    manifests_[Sha256::Of(bytes).text()] = {media_type, bytes};
  }

  // Makes an image of these layers for linux/amd64 and calls it "1.0". What is in a layer matters
  // to nobody here.
  Manifest AddImage(const std::vector<std::string>& layers) {
    std::string ids;
    for (const std::string& layer : layers) {
      absl::StrAppend(&ids, ids.empty() ? "" : ",", "\"", Sha256::Of(layer).text(), "\"");
    }
    const std::string config =
        absl::StrCat(R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers",)",
                     R"("diff_ids":[)", ids, "]}}");
    Manifest manifest{.media_type = media_type::kOciManifest,
                      .config = Describe(media_type::kOciConfig, config)};
    for (const std::string& layer : layers) {
      manifest.layers.push_back(Describe(media_type::kOciLayer, layer));
    }
    AddManifest("1.0", WriteManifest(manifest));
    return manifest;
  }

  Intercept intercept;

 private:
  Descriptor Describe(const std::string& media_type, const std::string& bytes) {
    AddBlob(bytes);
    return {media_type, Sha256::Of(bytes), bytes.size()};
  }

  FakeReply Answer(const FakeRequest& request) const {
    if (intercept) {
      if (std::optional<FakeReply> reply = intercept(request); reply.has_value()) return *reply;
    }
    absl::string_view path = request.target;
    if (absl::ConsumePrefix(&path, "/v2/team/tool/manifests/")) {
      const auto found = manifests_.find(std::string(path));
      if (found != manifests_.end()) {
        return {.fields = {{"Content-Type", found->second.first}}, .body = found->second.second};
      }
    } else if (absl::ConsumePrefix(&path, "/v2/team/tool/blobs/")) {
      const auto found = blobs_.find(std::string(path));
      if (found != blobs_.end()) return Blob(found->second, request.Get("range"));
    }
    return {.status = 404, .body = R"({"errors":[{"code":"UNKNOWN","message":"not here"}]})"};
  }

  static FakeReply Blob(const std::string& bytes, absl::string_view range) {
    size_t first = 0;
    if (!absl::ConsumePrefix(&range, "bytes=") || !absl::ConsumeSuffix(&range, "-") ||
        !absl::SimpleAtoi(range, &first)) {
      return {.body = bytes};
    }
    if (first >= bytes.size()) return {.status = 416};
    return {.status = 206,
            .fields = {{"Content-Range",
                        absl::StrCat("bytes ", first, "-", bytes.size() - 1, "/", bytes.size())}},
            .body = bytes.substr(first)};
  }

  std::map<std::string, std::string> blobs_;
  std::map<std::string, std::pair<std::string, std::string>> manifests_;
  FakeServer server_;  // the last: it uses the others from its threads
};

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_FAKE_REGISTRY_H_
