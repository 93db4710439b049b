// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A guest's kernel in a test: makes FUSE requests and takes the replies apart. Export "0" is a
// writable directory, which may have a quota, "1" the same directory read-only, "2" a single file.

#ifndef MSB_FILE_SERVER_SESSION_SESSION_FIXTURE_H_
#define MSB_FILE_SERVER_SESSION_SESSION_FIXTURE_H_

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "file-server/session/session.h"
#include "jailer/policy/filter.h"
#include "tests/support/temp_dir.h"

namespace msb {

template <typename T>
std::string Bytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}
inline std::string Name(const std::string& name) { return name + std::string(1, '\0'); }

class SessionTest : public testing::Test {
 protected:
  struct Reply {
    int error = 0;  // errno
    bool sent = true;
    std::string body;
    template <typename T>
    T As(size_t offset = 0) const {
      T value = {};
      MSB_CHECK(body.size() >= offset + sizeof(T));
      std::memcpy(&value, body.data() + offset, sizeof(T));
      return value;
    }
  };

  explicit SessionTest(SessionLimits limits = {.inodes = 64, .handles = 16},
                       IdentityMap identity = IdentityMap::Single({.uid = ::geteuid(),
                                                                   .gid = ::getegid()}),
                       uint64_t quota_bytes = 0) {
    PrepareLibraries();
    std::filesystem::create_directory(root());
    std::ofstream(outside("secret")) << "secret";
    std::ofstream(outside("single")) << "single";
    std::vector<Export> exports;
    exports.push_back({Path(root()), Access::kReadWrite, Owner{}, quota_bytes});
    exports.push_back({Path(root()), Access::kReadOnly});
    exports.push_back(
        {UniqueFd(::open(outside("single").c_str(), O_RDWR | O_CLOEXEC)), Access::kReadWrite});
    session_ = std::make_unique<Session>(std::move(exports), identity, limits);
    fuse_init_in init = {};
    init.major = FUSE_KERNEL_VERSION;
    init.minor = FUSE_KERNEL_MINOR_VERSION;
    init.flags = ~0u;
    MSB_CHECK(Ask(FUSE_INIT, 0, Bytes(init)).error == 0);
    writable_ = Lookup(FUSE_ROOT_ID, "0").As<fuse_entry_out>().nodeid;
    read_only_ = Lookup(FUSE_ROOT_ID, "1").As<fuse_entry_out>().nodeid;
  }

  std::string root() const { return directory_.path() + "/shared"; }
  std::string inside(const std::string& name) const { return root() + "/" + name; }
  std::string outside(const std::string& name) const { return directory_.path() + "/" + name; }
  static UniqueFd Path(const std::string& path) {
    return UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  }
  static std::string Content(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  // By any thread.
  Reply Ask(uint32_t opcode, uint64_t node, const std::string& body) {
    fuse_in_header header = {};
    header.len = static_cast<uint32_t>(sizeof(header) + body.size());
    header.opcode = opcode;
    header.nodeid = node;
    header.unique = 1;
    header.uid = caller_.uid;
    header.gid = caller_.gid;
    const std::function<void()> before_slow = [this] {
      ++slow_;
      if (on_slow_) on_slow_();
    };
    ReplyBuffer buffer;
    Session::Call call{.header = header,
                       .in = RequestReader(absl::MakeConstSpan(
                           reinterpret_cast<const uint8_t*>(body.data()), body.size())),
                       .out = buffer,
                       .before_slow = before_slow};
    // Behind the filter that msb-fs has: a call that is missing there ends the test.
    std::optional<Errno> result;
    std::thread([&] {
      MSB_CHECK(ConfineThread(SeccompPolicy::kFileServer).ok());
      result = session_->Serve(call);
    }).join();
    Reply reply;
    reply.sent = result.has_value();
    reply.error = static_cast<int>(result.value_or(Errno::kNone));
    const auto message = buffer.Finish(1, result.value_or(Errno::kNone));
    reply.body.assign(message.begin() + sizeof(fuse_out_header), message.end());
    return reply;
  }
  Reply Lookup(uint64_t node, const std::string& name) {
    return Ask(FUSE_LOOKUP, node, Name(name));
  }
  uint64_t NodeOf(const std::string& name) {
    const Reply reply = Lookup(writable_, name);
    return reply.error == 0 ? reply.As<fuse_entry_out>().nodeid : 0;
  }
  Reply Open(uint64_t node, int flags) {
    fuse_open_in open = {};
    open.flags = static_cast<uint32_t>(flags);
    return Ask(FUSE_OPEN, node, Bytes(open));
  }
  Reply Create(uint64_t node, const std::string& name, int flags, uint32_t mode = 0644) {
    fuse_create_in create = {};
    create.flags = static_cast<uint32_t>(flags);
    create.mode = mode | S_IFREG;
    return Ask(FUSE_CREATE, node, Bytes(create) + Name(name));
  }
  Reply Write(uint64_t node, uint64_t handle, uint64_t offset, const std::string& data,
              uint32_t flags = 0) {
    fuse_write_in write = {};
    write.fh = handle;
    write.offset = offset;
    write.size = static_cast<uint32_t>(data.size());
    write.flags = flags;
    return Ask(FUSE_WRITE, node, Bytes(write) + data);
  }
  Reply Read(uint64_t node, uint64_t handle, uint64_t offset, uint32_t size) {
    fuse_read_in read = {};
    read.fh = handle;
    read.offset = offset;
    read.size = size;
    return Ask(FUSE_READ, node, Bytes(read));
  }
  Reply SetMode(uint64_t node, uint32_t mode) {
    fuse_setattr_in wanted = {};
    wanted.valid = FATTR_MODE;
    wanted.mode = mode;
    return Ask(FUSE_SETATTR, node, Bytes(wanted));
  }
  Reply Rename(uint64_t from, const std::string& name, uint64_t to, const std::string& new_name,
               uint32_t flags = 0) {
    fuse_rename2_in rename = {};
    rename.newdir = to;
    rename.flags = flags;
    return Ask(FUSE_RENAME2, from, Bytes(rename) + Name(name) + Name(new_name));
  }
  // Entries as READDIR or READDIRPLUS lists them.
  std::vector<std::string> List(uint64_t node, uint32_t opcode, uint32_t size = 4096) {
    fuse_open_in open = {};
    const uint64_t handle = Ask(FUSE_OPENDIR, node, Bytes(open)).As<fuse_open_out>().fh;
    std::vector<std::string> names;
    uint64_t offset = 0;
    while (true) {
      fuse_read_in read = {};
      read.fh = handle;
      read.offset = offset;
      read.size = size;
      const Reply reply = Ask(opcode, node, Bytes(read));
      if (reply.error != 0 || reply.body.empty()) break;
      const size_t before = opcode == FUSE_READDIRPLUS ? sizeof(fuse_entry_out) : 0;
      for (size_t at = 0; at < reply.body.size();) {
        const auto entry = reply.As<fuse_dirent>(at + before);
        names.push_back(reply.body.substr(at + before + FUSE_NAME_OFFSET, entry.namelen));
        offset = entry.off;
        at += FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + entry.namelen);
      }
    }
    fuse_release_in release = {};
    release.fh = handle;
    Ask(FUSE_RELEASEDIR, node, Bytes(release));
    return names;
  }

  TempDir directory_;
  std::unique_ptr<Session> session_;
  Owner caller_;               // of the process in the guest
  std::atomic<int> slow_ = 0;  // how often others could be served meanwhile
  std::function<void()> on_slow_;
  uint64_t writable_ = 0;
  uint64_t read_only_ = 0;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_SESSION_SESSION_FIXTURE_H_
