// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A guest's kernel that asks for anything, of a directory with a file, a folder and a link out:
// once without a quota and once with.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "file-server/session/session.h"
#include "tests/support/fuzz_input.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

// No input fills the disk.
constexpr rlim_t kMaxFileBytes = 1 << 20;
constexpr uint8_t kNodes = 16;
constexpr uint8_t kOpcodes = 56;
constexpr uint64_t kQuotaBytes = 64 * 1024;
// By which a directory may grow beyond it, before there is no other name.
constexpr int64_t kQuotaSlack = 16 * 1024;

UniqueFd OpenPath(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC));
}

int64_t TakenBy(const std::string& root) {
  std::map<FileId, int64_t> found;  // a file may have several names
  const auto look = [&](const std::string& path) {
    struct stat info;
    if (::lstat(path.c_str(), &info) == 0) found[IdOf(info)] = info.st_blocks * 512;
  };
  look(root);
  std::error_code closed;  // a directory whose mode the guest has changed
  for (std::filesystem::recursive_directory_iterator entry(root, closed), end; entry != end;
       entry.increment(closed)) {
    look(entry->path());
  }
  int64_t sum = 0;
  for (const auto& [file, taken] : found) sum += taken;
  return sum;
}

class Guest {
 public:
  explicit Guest(uint64_t quota_bytes) : quota_bytes_(quota_bytes) {
    const std::string& root = root_;
    std::filesystem::create_directories(root + "/folder");
    directory_.Write("outside", "untouched");
    std::ofstream(root + "/file") << "content";
    std::filesystem::create_symlink("../outside", root + "/link");
    std::vector<Export> exports;
    exports.push_back({OpenPath(root), Access::kReadWrite, Owner{}, quota_bytes});
    exports.push_back({OpenPath(root), Access::kReadOnly});
    session_ = std::make_unique<Session>(
        std::move(exports), IdentityMap::Single({.uid = ::geteuid(), .gid = ::getegid()}),
        SessionLimits{.inodes = 32, .descriptors = 4, .handles = 8});
    for (const char* name : {"0", "1"}) Ask(FUSE_LOOKUP, FUSE_ROOT_ID, std::string(name, 2));
    for (const char* name : {"file", "folder", "link"}) {
      Ask(FUSE_LOOKUP, 2, name + std::string(1, '\0'));
    }
    taken_before_ = TakenBy(root_);
  }
  ~Guest() {
    MSB_CHECK(directory_.Read("outside") == "untouched");
    if (quota_bytes_ == 0) return;
    const int64_t grown = TakenBy(root_) - taken_before_;
    MSB_CHECK(grown <= static_cast<int64_t>(quota_bytes_) + kQuotaSlack);
  }

  void Ask(uint32_t opcode, uint64_t node, const std::string& body) {
    fuse_in_header header = {};
    header.len = static_cast<uint32_t>(sizeof(header) + body.size());
    header.opcode = opcode;
    header.nodeid = node;
    reply_.Clear();
    const std::function<void()> before_slow = [] {};
    Session::Call call{.header = header,
                       .in = RequestReader(absl::MakeConstSpan(
                           reinterpret_cast<const uint8_t*>(body.data()), body.size())),
                       .out = reply_,
                       .before_slow = before_slow};
    const auto result = session_->Serve(call);
    reply_.Finish(1, result.value_or(Errno::kNone));
    MSB_CHECK(session_->inodes() <= 32 && session_->handles() <= 8);
  }

 private:
  const uint64_t quota_bytes_;
  TempDir directory_;
  const std::string root_ = directory_.path() + "/shared";
  int64_t taken_before_ = 0;
  ReplyBuffer reply_;
  std::unique_ptr<Session> session_;
};

void Play(const uint8_t* data, size_t size, uint64_t quota_bytes) {
  FuzzInput input(data, size);
  Guest guest(quota_bytes);
  while (!input.empty()) {
    const uint32_t opcode = input.Take<uint8_t>() % kOpcodes;
    const uint64_t node = input.Take<uint8_t>() % kNodes;
    const auto body = input.TakeBytes(input.Take<uint8_t>());
    guest.Ask(opcode, node, std::string(body.begin(), body.end()));
  }
}

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool limited = [] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = msb::kMaxFileBytes, .rlim_max = msb::kMaxFileBytes};
    return ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
  }();
  MSB_CHECK(limited);
  msb::Play(data, size, 0);
  msb::Play(data, size, msb::kQuotaBytes);
  return 0;
}
