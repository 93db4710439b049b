// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Makes tars, right ones and wrong ones.

#ifndef MSB_TESTS_SUPPORT_IMAGE_TAR_BUILDER_H_
#define MSB_TESTS_SUPPORT_IMAGE_TAR_BUILDER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace msb::image {

class TarBuilder {
 public:
  struct Entry {
    std::string name;
    char type = '0';
    std::string content = "";
    std::string link = "";
    uint32_t mode = 0644;
    uint32_t uid = 0;
    uint32_t gid = 0;
    int64_t mtime = 1'700'000'000;
    uint32_t dev_major = 0;
    uint32_t dev_minor = 0;
    std::vector<std::pair<std::string, std::string>> pax = {};  // a header before it
  };

  TarBuilder& Add(const Entry& entry);
  TarBuilder& File(const std::string& name, const std::string& content) {
    return Add({.name = name, .content = content});
  }
  TarBuilder& Directory(const std::string& name, uint32_t mode = 0755) {
    return Add({.name = name, .type = '5', .mode = mode});
  }
  TarBuilder& Symlink(const std::string& name, const std::string& target) {
    return Add({.name = name, .type = '2', .link = target, .mode = 0777});
  }
  TarBuilder& HardLink(const std::string& name, const std::string& target) {
    return Add({.name = name, .type = '1', .link = target});
  }

  // With the two blocks at its end.
  std::string Finish() const { return tar_ + std::string(1024, '\0'); }
  // As it is.
  std::string& bytes() { return tar_; }

  // A header block alone, with its checksum.
  static std::string Header(const Entry& entry, uint64_t size);
  static void SetChecksum(std::string& header);
  static std::string PaxRecord(absl::string_view key, absl::string_view value);

 private:
  void Append(const std::string& header, absl::string_view content);

  std::string tar_;
};

}  // namespace msb::image

#endif  // MSB_TESTS_SUPPORT_IMAGE_TAR_BUILDER_H_
