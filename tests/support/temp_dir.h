// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A directory of the test's own, gone with it.

#ifndef MSB_TESTS_SUPPORT_TEMP_DIR_H_
#define MSB_TESTS_SUPPORT_TEMP_DIR_H_

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/check.h"

namespace msb {

class TempDir {
 public:
  TempDir() : path_("/tmp/msb-test-XXXXXX") { MSB_CHECK(::mkdtemp(path_.data()) != nullptr); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }

  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << content;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(path_ + "/" + name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

 private:
  std::string path_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_TEMP_DIR_H_
