// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "network/secrets/response_mask.h"

#include <algorithm>

#include "base/secret_bytes.h"

namespace msb::net {

ResponseMask::~ResponseMask() {
  for (Pattern& pattern : patterns_) Wipe(pattern.text);
  Wipe(held_);
}

void ResponseMask::Add(absl::string_view sent) {
  if (sent.size() < kMinBytes || patterns_.size() == kMaxPatterns) return;
  for (const Pattern& pattern : patterns_) {
    if (pattern.text == sent) return;
  }
  Pattern pattern{.text = std::string(sent), .fallback = std::vector<size_t>(sent.size() + 1, 0)};
  for (size_t i = 1, state = 0; i < sent.size(); ++i) {
    while (state > 0 && sent[i] != sent[state]) state = pattern.fallback[state];
    if (sent[i] == sent[state]) ++state;
    pattern.fallback[i + 1] = state;
  }
  patterns_.push_back(std::move(pattern));
}

void ResponseMask::Feed(absl::string_view piece, std::string& out) {
  const size_t begin = held_.size();
  held_.append(piece.data(), piece.size());
  size_t keep = 0;
  // Matched on what came, not on what was overwritten meanwhile.
  for (Pattern& pattern : patterns_) {
    for (size_t i = 0; i < piece.size(); ++i) {
      const char c = piece[i];
      while (pattern.state > 0 && c != pattern.text[pattern.state]) {
        pattern.state = pattern.fallback[pattern.state];
      }
      if (c == pattern.text[pattern.state]) ++pattern.state;
      if (pattern.state < pattern.text.size()) continue;
      // All of it is still here: what a state stands for is held back.
      const size_t end = begin + i + 1;
      std::fill_n(held_.begin() + static_cast<ptrdiff_t>(end - pattern.text.size()),
                  pattern.text.size(), '*');
      pattern.state = pattern.fallback[pattern.state];
    }
    keep = std::max(keep, pattern.state);
  }
  out.append(held_, 0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
}

void ResponseMask::Finish(std::string& out) {
  out += held_;
  held_.clear();
}

}  // namespace msb::net
