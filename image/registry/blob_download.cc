// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/blob_download.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "image/registry/retry.h"

namespace msb::image {
namespace {

bool ParseNumber(absl::string_view text, uint64_t& number) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, &number);
}

// What one answer brings.
class Receiver {
 public:
  Receiver(const std::string& server, const Descriptor& blob, PartialBlob& part)
      : server_(server), blob_(blob), part_(part) {}

  absl::Status Take(const ResponseHead& head, absl::string_view piece) {
    if (!began_) {
      began_ = true;
      MSB_RETURN_IF_ERROR(Begin(head));
    }
    if (piece.size() > blob_.size - part_.size()) return WrongSize("more");
    return part_.Append(piece);
  }

 private:
  absl::Status Begin(const ResponseHead& head) {
    MSB_RETURN_IF_ERROR(head.status == 206 ? BeginRange(head) : BeginWhole());
    const uint64_t left = blob_.size - part_.size();
    if (head.content_length.has_value() && *head.content_length != left) {
      return WrongSize(absl::StrCat(*head.content_length + part_.size()));
    }
    return absl::OkStatus();
  }

  absl::Status BeginRange(const ResponseHead& head) {
    const std::optional<ContentRange> range = ParseContentRange(head.Get("content-range"));
    if (!range.has_value() || range->first != part_.size()) {
      MSB_RETURN_IF_ERROR(part_.Restart());
      return Transient(MakeError(Reason::kImagePullFailed,
                                 absl::StrCat(server_, " sends another range than asked for")));
    }
    if (range->total.value_or(blob_.size) != blob_.size)
      return WrongSize(absl::StrCat(*range->total));
    return absl::OkStatus();
  }

  absl::Status BeginWhole() { return part_.size() == 0 ? absl::OkStatus() : part_.Restart(); }

  absl::Status WrongSize(absl::string_view bytes) const {
    return MakeError(Reason::kImageDigestMismatch,
                     absl::StrCat(server_, " has ", bytes, " bytes for blob ", blob_.digest.text(),
                                  ", the manifest says ", blob_.size));
  }

  const std::string& server_;
  const Descriptor& blob_;
  PartialBlob& part_;
  bool began_ = false;
};

}  // namespace

std::optional<ContentRange> ParseContentRange(absl::string_view value) {
  const absl::string_view unit = "bytes ";
  if (!absl::ConsumePrefix(&value, unit)) return std::nullopt;
  const size_t dash = value.find('-');
  const size_t slash = value.find('/');
  if (dash == absl::string_view::npos || slash == absl::string_view::npos || dash > slash) {
    return std::nullopt;
  }
  ContentRange range;
  uint64_t last = 0;
  if (!ParseNumber(value.substr(0, dash), range.first) ||
      !ParseNumber(value.substr(dash + 1, slash - dash - 1), last) || last < range.first) {
    return std::nullopt;
  }
  const absl::string_view total = value.substr(slash + 1);
  if (total == "*") return range;
  uint64_t number = 0;
  if (!ParseNumber(total, number) || number <= last) return std::nullopt;
  range.total = number;
  return range;
}

absl::Status DownloadBlob(RegistryClient& client, const Descriptor& blob, PartialBlob& part,
                          const std::function<void()>& on_progress) {
  if (part.size() > blob.size) MSB_RETURN_IF_ERROR(part.Restart());
  if (part.size() == blob.size) return absl::OkStatus();
  const std::string server = client.name();
  Receiver receiver(server, blob, part);
  const absl::Status fetched = client.FetchBlob(
      blob.digest, part.size(), [&](const ResponseHead& head, absl::string_view piece) {
        MSB_RETURN_IF_ERROR(receiver.Take(head, piece));
        on_progress();
        return absl::OkStatus();
      });
  if (absl::IsOutOfRange(fetched)) {
    MSB_RETURN_IF_ERROR(part.Restart());
    return Transient(MakeError(Reason::kImagePullFailed,
                               absl::StrCat(server, " does not know the rest of a blob")));
  }
  MSB_RETURN_IF_ERROR(fetched);
  if (part.size() == blob.size) return absl::OkStatus();
  return Transient(MakeError(Reason::kImagePullFailed,
                             absl::StrCat(server, " sends ", part.size(), " bytes of blob ",
                                          blob.digest.text(), ", which has ", blob.size)));
}

}  // namespace msb::image
