// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// An archive that is all there at once.

#ifndef MSB_TESTS_SUPPORT_SUPERVISOR_TEXT_SOURCE_H_
#define MSB_TESTS_SUPPORT_SUPERVISOR_TEXT_SOURCE_H_

#include <optional>
#include <string>
#include <utility>

#include "supervisor/images/archives.h"

namespace msb {

class TextSource final : public ArchiveSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  absl::StatusOr<std::optional<std::string>> Next() override {
    if (text_.empty()) return std::nullopt;
    return std::exchange(text_, "");
  }
  void Stop() override {}

 private:
  std::string text_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_SUPERVISOR_TEXT_SOURCE_H_
