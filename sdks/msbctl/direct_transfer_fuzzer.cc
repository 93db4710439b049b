// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Any bytes as what a guest sends to msbctl: a copy out of it into a directory, whose neighbours
// stay as they are, then a copy into it.

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/status_macros.h"
#include "sdks/msbctl/direct_transfer.h"
#include "sdks/msbctl/local_tree.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

// More than a socket takes at once would have to be read meanwhile.
constexpr size_t kMostBytes = 64 * 1024;

std::unique_ptr<DirectTransfer> TransferWith(const std::string& bytes) {
  int daemon[2];
  int guest[2];
  MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, daemon) == 0);
  MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, guest) == 0);
  ::close(daemon[1]);
  MSB_CHECK(::send(guest[1], bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  ::close(guest[1]);
  return std::make_unique<DirectTransfer>(UniqueFd(daemon[0]), UniqueFd(guest[0]));
}

absl::Status CopyOut(const std::string& bytes, const std::string& to) {
  const std::unique_ptr<Download> download = NewDirectDownload(TransferWith(bytes));
  LocalTreeWriter writer(to);
  while (true) {
    MSB_ASSIGN_OR_RETURN(const Download::Chunk chunk, download->Next());
    if (chunk.is_end()) return writer.Finish();
    MSB_RETURN_IF_ERROR(chunk.entry != nullptr ? writer.Entry(*chunk.entry)
                                               : writer.Data(chunk.data));
  }
}

void Feed(const std::string& bytes) {
  const TempDir directory;
  const std::string inside = directory.path() + "/inside";
  MSB_CHECK(::mkdir(inside.c_str(), 0700) == 0);
  CopyOut(bytes, inside + "/top").IgnoreError();
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    MSB_CHECK(entry.path().filename() == "inside");
  }
  for (const auto& entry : std::filesystem::directory_iterator(inside)) {
    MSB_CHECK(entry.path().filename() == "top");
  }
  const std::unique_ptr<Upload> upload = NewDirectUpload(TransferWith(bytes));
  std::string data = "content";
  if (upload->Data(data)) upload->Finish(absl::OkStatus()).IgnoreError();
}

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > msb::kMostBytes) return 0;
  msb::Feed(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
