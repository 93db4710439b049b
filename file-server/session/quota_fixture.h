// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A guest whose writable export has a quota.

#ifndef MSB_FILE_SERVER_SESSION_QUOTA_FIXTURE_H_
#define MSB_FILE_SERVER_SESSION_QUOTA_FIXTURE_H_

#include <map>
#include <optional>
#include <string>

#include "file-server/session/session_fixture.h"

namespace msb {

class QuotaTest : public SessionTest {
 protected:
  static constexpr int64_t kQuota = 1 << 20;
  static constexpr int64_t kName = Ledger::kNameBytes;
  // Of the file system: directories grow by whole blocks, which are counted and not foreseen.
  static constexpr int64_t kBlock = 4096;

  QuotaTest()
      : SessionTest({.inodes = 2000, .handles = 64},
                    IdentityMap::Single({.uid = ::geteuid(), .gid = ::getegid()}), kQuota) {}

  struct Opened {
    uint64_t node = 0;
    uint64_t handle = 0;
  };
  std::optional<Opened> TryMake(const std::string& name) {
    const Reply made = Create(writable_, name, O_RDWR);
    if (made.error != 0) return std::nullopt;
    return Opened{made.As<fuse_entry_out>().nodeid,
                  made.As<fuse_open_out>(sizeof(fuse_entry_out)).fh};
  }
  Opened Make(const std::string& name) {
    const std::optional<Opened> made = TryMake(name);
    EXPECT_TRUE(made.has_value()) << name;
    return made.value_or(Opened{});
  }
  Opened OpenAt(uint64_t node, int flags = O_RDWR) {
    return {node, Open(node, flags).As<fuse_open_out>().fh};
  }
  int Fill(const Opened& file, int64_t offset, int64_t size) {
    return Write(file.node, file.handle, static_cast<uint64_t>(offset),
                 std::string(static_cast<size_t>(size), 'x'))
        .error;
  }
  int Resize(uint64_t node, uint64_t size) {
    fuse_setattr_in wanted = {};
    wanted.valid = FATTR_SIZE;
    wanted.size = size;
    return Ask(FUSE_SETATTR, node, Bytes(wanted)).error;
  }
  int Allocate(const Opened& file, int64_t offset, int64_t length, int mode = 0) {
    fuse_fallocate_in wanted = {};
    wanted.fh = file.handle;
    wanted.offset = static_cast<uint64_t>(offset);
    wanted.length = static_cast<uint64_t>(length);
    wanted.mode = static_cast<uint32_t>(mode);
    return Ask(FUSE_FALLOCATE, file.node, Bytes(wanted)).error;
  }
  int Copy(const Opened& from, const Opened& to, int64_t length) {
    fuse_copy_file_range_in wanted = {};
    wanted.fh_in = from.handle;
    wanted.nodeid_out = to.node;
    wanted.fh_out = to.handle;
    wanted.len = static_cast<uint64_t>(length);
    return Ask(FUSE_COPY_FILE_RANGE, from.node, Bytes(wanted)).error;
  }
  int LinkAs(uint64_t node, const std::string& name) {
    fuse_link_in link = {};
    link.oldnodeid = node;
    return Ask(FUSE_LINK, writable_, Bytes(link) + Name(name)).error;
  }
  int Unlink(const std::string& name) { return Ask(FUSE_UNLINK, writable_, Name(name)).error; }
  int MakeDirectory(const std::string& name) {
    return Ask(FUSE_MKDIR, writable_, Bytes(fuse_mkdir_in{}) + Name(name)).error;
  }
  void Close(const Opened& file) {
    EXPECT_EQ(Ask(FUSE_RELEASE, file.node, Bytes(fuse_release_in{.fh = file.handle})).error, 0);
  }
  void Forget(uint64_t node) {
    Ask(FUSE_FORGET, node, Bytes(fuse_forget_in{.nlookup = UINT64_MAX}));
  }
  // Nothing is open, and nothing known.
  void BeginAnew() {
    fuse_init_in init = {};
    init.major = FUSE_KERNEL_VERSION;
    init.minor = FUSE_KERNEL_MINOR_VERSION;
    EXPECT_EQ(Ask(FUSE_INIT, 0, Bytes(init)).error, 0);
    writable_ = Lookup(FUSE_ROOT_ID, "0").As<fuse_entry_out>().nodeid;
  }
  // As the guest reads it.
  int64_t Left() {
    const auto shown = Ask(FUSE_STATFS, writable_, "").As<fuse_statfs_out>().st;
    return static_cast<int64_t>(shown.bavail * shown.frsize);
  }
  int64_t Used() { return kQuota - Left(); }

  // What the host finds: all names, and what this process has open of what has none.
  int64_t TakenOnTheHost() const {
    std::map<FileId, int64_t> found;
    const auto add = [&](const struct stat& info) { found[IdOf(info)] = info.st_blocks * 512; };
    struct stat info;
    if (::stat(root().c_str(), &info) == 0) add(info);
    const dev_t device = info.st_dev;
    std::error_code gone;  // while we look
    for (std::filesystem::recursive_directory_iterator entry(root(), gone), end; entry != end;
         entry.increment(gone)) {
      if (::lstat(entry->path().c_str(), &info) == 0) add(info);
    }
    for (int fd = 3; fd < 1024; ++fd) {
      if (::fstat(fd, &info) == 0 && info.st_dev == device && info.st_nlink == 0) add(info);
    }
    int64_t sum = 0;
    for (const auto& [file, taken] : found) sum += taken;
    return sum;
  }
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_SESSION_QUOTA_FIXTURE_H_
