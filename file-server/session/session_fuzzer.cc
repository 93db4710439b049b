// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A guest's kernel that asks for anything, of a directory with a file, a folder and a link out.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
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

UniqueFd OpenPath(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC));
}

class Guest {
 public:
  Guest() {
    const std::string root = directory_.path() + "/shared";
    std::filesystem::create_directories(root + "/folder");
    directory_.Write("outside", "untouched");
    std::ofstream(root + "/file") << "content";
    std::filesystem::create_symlink("../outside", root + "/link");
    std::vector<Export> exports;
    exports.push_back({OpenPath(root), Access::kReadWrite});
    exports.push_back({OpenPath(root), Access::kReadOnly});
    session_ = std::make_unique<Session>(
        std::move(exports), IdentityMap::Single({.uid = ::geteuid(), .gid = ::getegid()}),
        SessionLimits{.inodes = 32, .descriptors = 4, .handles = 8});
    for (const char* name : {"0", "1"}) Ask(FUSE_LOOKUP, FUSE_ROOT_ID, std::string(name, 2));
    for (const char* name : {"file", "folder", "link"}) {
      Ask(FUSE_LOOKUP, 2, name + std::string(1, '\0'));
    }
  }
  ~Guest() { MSB_CHECK(directory_.Read("outside") == "untouched"); }

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
  TempDir directory_;
  ReplyBuffer reply_;
  std::unique_ptr<Session> session_;
};

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool limited = [] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = msb::kMaxFileBytes, .rlim_max = msb::kMaxFileBytes};
    return ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
  }();
  MSB_CHECK(limited);
  msb::FuzzInput input(data, size);
  msb::Guest guest;
  while (!input.empty()) {
    const uint32_t opcode = input.Take<uint8_t>() % msb::kOpcodes;
    const uint64_t node = input.Take<uint8_t>() % msb::kNodes;
    const auto body = input.TakeBytes(input.Take<uint8_t>());
    guest.Ask(opcode, node, std::string(body.begin(), body.end()));
  }
  return 0;
}
