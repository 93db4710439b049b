// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/pull_progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "sdks/msbctl/output.h"

namespace msb {
namespace {

using msb::v1::PullProgress;

constexpr absl::Duration kRedraw = absl::Milliseconds(100);
constexpr size_t kShortDigest = 12;
constexpr size_t kBarCells = 24;
constexpr size_t kMostLines = 16;  // an image with more layers shows its busy ones

std::string Short(const std::string& digest) {
  const size_t colon = digest.find(':');
  return digest.substr(colon == std::string::npos ? 0 : colon + 1, kShortDigest);
}

const char* WordOf(PullProgress::Phase phase) {
  switch (phase) {
    case PullProgress::PHASE_DOWNLOADING:
      return "downloading";
    case PullProgress::PHASE_UNPACKING:
      return "unpacking";
    case PullProgress::PHASE_DONE:
      return "done";
    case PullProgress::PHASE_PRESENT:
      return "present";
    default:
      return "waiting";
  }
}

bool IsMoving(const PullProgress& progress) {
  return progress.phase() == PullProgress::PHASE_DOWNLOADING ||
         progress.phase() == PullProgress::PHASE_UNPACKING;
}

}  // namespace

std::string PullLine(const PullProgress& progress, size_t columns) {
  std::string line =
      absl::StrFormat("%s  %-11s", Short(progress.digest()), WordOf(progress.phase()));
  if (IsMoving(progress) && progress.total_bytes() > 0) {
    const double part = std::min(1.0, static_cast<double>(progress.done_bytes()) /
                                          static_cast<double>(progress.total_bytes()));
    const auto full = static_cast<size_t>(part * kBarCells);
    absl::StrAppend(&line, "  [", std::string(full, '#'), std::string(kBarCells - full, '.'), "]  ",
                    Bytes(progress.done_bytes()), " of ", Bytes(progress.total_bytes()));
  } else if (IsMoving(progress)) {
    absl::StrAppend(&line, "  ", Bytes(progress.done_bytes()));
  } else if (progress.total_bytes() > 0) {
    absl::StrAppend(&line, "  ", Bytes(progress.total_bytes()));
  }
  return Cut(line, columns);
}

PullProgressView::PullProgressView() : terminal_(IsSmartTerminal(STDERR_FILENO)) {}

PullProgressView::~PullProgressView() { Wipe(); }

void PullProgressView::Show(const PullProgress& progress) {
  if (progress.digest().empty()) return;
  const auto it = layers_.find(progress.digest());
  const bool changed = it == layers_.end() || it->second.phase() != progress.phase();
  if (it == layers_.end()) order_.push_back(progress.digest());
  PullProgress& known = layers_[progress.digest()];
  const uint64_t total = progress.total_bytes() > 0 ? progress.total_bytes() : known.total_bytes();
  known = progress;
  known.set_total_bytes(total);
  if (terminal_) {
    if (absl::Now() < next_draw_) return;
    next_draw_ = absl::Now() + kRedraw;
    return Draw();
  }
  if (changed) {
    std::fprintf(stderr, "%s: %s\n", Short(progress.digest()).c_str(), WordOf(progress.phase()));
  }
}

void PullProgressView::Draw() {
  Wipe();
  const size_t columns = TerminalColumns(STDERR_FILENO);
  size_t left = order_.size();
  for (const std::string& digest : order_) {
    const PullProgress& progress = layers_[digest];
    // What does not move gives way.
    if (!IsMoving(progress) && drawn_ + left > kMostLines) {
      --left;
      continue;
    }
    --left;
    std::fprintf(stderr, "%s\n", PullLine(progress, columns).c_str());
    if (++drawn_ == kMostLines) break;
  }
  std::fflush(stderr);
}

void PullProgressView::Wipe() {
  if (drawn_ == 0) return;
  std::fprintf(stderr, "\x1b[%zuA\x1b[J", drawn_);
  std::fflush(stderr);
  drawn_ = 0;
}

}  // namespace msb
