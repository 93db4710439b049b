// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// For tests: a FUSE file system of the host whose server does not answer when the entry "hangs" of
// a directory is looked up, until it is let. All else it shows of a directory, as its entry "0".

#ifndef MSB_FILE_SERVER_HANGING_FILE_SYSTEM_H_
#define MSB_FILE_SERVER_HANGING_FILE_SYSTEM_H_

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/check.h"
#include "file-server/session/session.h"

namespace msb {

class HangingFileSystem {
 public:
  // Null where the process may not mount. The mount is of the calling thread's own namespace, and
  // of threads that it makes.
  static std::unique_ptr<HangingFileSystem> Mount(const std::string& shown,
                                                  const std::string& place) {
    UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
    const std::string options =
        absl::StrCat("fd=", device.get(), ",rootmode=40000,user_id=0,group_id=0");
    if (!device.valid() || ::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("test", place.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
      return nullptr;
    }
    return std::unique_ptr<HangingFileSystem>(
        new HangingFileSystem(std::move(device), shown, place));
  }
  // Who waits for it gets an error.
  ~HangingFileSystem() {
    ::umount2(place_.c_str(), MNT_DETACH | MNT_FORCE);
    thread_.join();
  }

  // Answers the look-up, once it is there: no such entry.
  void Let() {
    asked_.WaitForNotification();
    ReplyBuffer reply;
    Answer(reply.Finish(hangs_, ErrnoValue(ENOENT)));
  }

 private:
  HangingFileSystem(UniqueFd device, const std::string& shown, std::string place)
      : device_(std::move(device)), place_(std::move(place)) {
    std::vector<Export> exports;
    exports.push_back({UniqueFd(::open(shown.c_str(), O_PATH | O_CLOEXEC)), Access::kReadWrite});
    session_ =
        std::make_unique<Session>(std::move(exports), IdentityMap::PassThrough(), SessionLimits{});
    thread_ = std::thread([this] { Serve(); });
  }

  // Until it is not mounted any more.
  void Serve() {
    std::vector<uint8_t> bytes(kMaxMessageBytes);
    const std::function<void()> before_slow = [] {};
    for (ssize_t got; (got = ::read(device_.get(), bytes.data(), bytes.size())) > 0;) {
      fuse_in_header header;
      std::memcpy(&header, bytes.data(), sizeof(header));
      const auto body =
          absl::MakeConstSpan(bytes.data(), static_cast<size_t>(got)).subspan(sizeof(header));
      reply_.Clear();
      if (header.opcode == FUSE_LOOKUP &&
          std::string(reinterpret_cast<const char*>(body.data())) == "hangs") {
        hangs_ = header.unique;
        asked_.Notify();
        continue;
      }
      Session::Call call{
          .header = header, .in = RequestReader(body), .out = reply_, .before_slow = before_slow};
      if (const auto result = session_->Serve(call)) Answer(reply_.Finish(header.unique, *result));
    }
  }
  void Answer(absl::Span<const uint8_t> message) {
    [[maybe_unused]] const ssize_t put = ::write(device_.get(), message.data(), message.size());
  }

  const UniqueFd device_;
  const std::string place_;
  std::unique_ptr<Session> session_;
  ReplyBuffer reply_;
  uint64_t hangs_ = 0;
  absl::Notification asked_;
  std::thread thread_;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_HANGING_FILE_SYSTEM_H_
