// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "sdks/msbctl/output.h"

namespace msb {
namespace {

constexpr absl::Duration kQuiet = absl::Milliseconds(500);
constexpr absl::Duration kRedraw = absl::Milliseconds(200);
constexpr char kEraseLine[] = "\r\x1b[K";

}  // namespace

Progress::Progress(std::string what) : what_(std::move(what)), started_(absl::Now()) {
  if (IsSmartTerminal(STDERR_FILENO)) thread_ = std::thread([this] { Draw(); });
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    absl::MutexLock lock(&mutex_);
    finished_ = true;
  }
  thread_.join();
}

void Progress::SetBytes(uint64_t done, uint64_t total) {
  absl::MutexLock lock(&mutex_);
  done_ = done;
  total_ = total;
}

void Progress::Draw() {
  absl::MutexLock lock(&mutex_);
  absl::Duration wait = kQuiet;
  bool drawn = false;
  while (!mutex_.AwaitWithTimeout(absl::Condition(&finished_), wait)) {
    std::fprintf(stderr, "%s%s", kEraseLine, Cut(Line(), TerminalColumns(STDERR_FILENO)).c_str());
    std::fflush(stderr);
    drawn = true;
    wait = kRedraw;
  }
  if (!drawn) return;
  std::fputs(kEraseLine, stderr);
  std::fflush(stderr);
}

std::string Progress::Line() {
  const double seconds = absl::ToDoubleSeconds(absl::Now() - started_);
  if (done_ == 0) return absl::StrFormat("%s (%.0f s)", what_, seconds);
  std::string line = absl::StrCat(what_, "  ", Bytes(done_));
  if (total_ > 0) {
    absl::StrAppendFormat(&line, " of %s  %3.0f %%", Bytes(total_),
                          100.0 * static_cast<double>(done_) / static_cast<double>(total_));
  }
  absl::StrAppend(&line, "  ", Bytes(static_cast<uint64_t>(static_cast<double>(done_) / seconds)),
                  "/s");
  return line;
}

}  // namespace msb
