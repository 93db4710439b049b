// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// How far a pull is: a bar for each layer on a terminal, a line for each change elsewhere.

#ifndef MSB_SDKS_MSBCTL_PULL_PROGRESS_H_
#define MSB_SDKS_MSBCTL_PULL_PROGRESS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "msb/v1/image.pb.h"

namespace msb {

// Writes to stderr. Not thread-safe.
class PullProgressView {
 public:
  PullProgressView();
  // Wipes the bars off a terminal.
  ~PullProgressView();
  PullProgressView(const PullProgressView&) = delete;
  PullProgressView& operator=(const PullProgressView&) = delete;

  void Show(const msb::v1::PullProgress& progress);

 private:
  void Draw();
  void Wipe();

  const bool terminal_;
  std::vector<std::string> order_;  // digests as they came
  std::map<std::string, msb::v1::PullProgress> layers_;
  size_t drawn_ = 0;  // lines on the terminal
  absl::Time next_draw_ = absl::InfinitePast();
};

// "f6d9d4a6a1c3  [######......]  12.0 MiB of 24.0 MiB", for `columns` or less.
std::string PullLine(const msb::v1::PullProgress& progress, size_t columns);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_PULL_PROGRESS_H_
