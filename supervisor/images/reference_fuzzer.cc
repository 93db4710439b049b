// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Names of images as clients send them. What is accepted is fit for a registry's URL and a row, and
// means the same when it is read again.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "supervisor/images/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  msb::IsPlainWord(text);
  msb::IsDigestPrefix(text);
  const auto reference = msb::ParseReference(text);
  if (!reference.ok()) return 0;
  MSB_CHECK(reference->Name().find_first_of(std::string(" \n\0?#\\", 6)) == std::string::npos);
  MSB_CHECK(reference->repository.find("..") == std::string::npos);
  for (const std::string& again : {reference->Name(), reference->ShortName()}) {
    const auto parsed = msb::ParseReference(again);
    MSB_CHECK(parsed.ok() && parsed->Name() == reference->Name());
  }
  return 0;
}
