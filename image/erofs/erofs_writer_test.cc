// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/erofs/erofs_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/unique_fd.h"
#include "tests/support/image/erofs_reader.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb::image {
namespace {

using erofs::FileType;
using erofs::Layout;

constexpr uint64_t kMaxBytes = uint64_t{1} << 40;

// A file system and what must be read of it.
class Model {
 public:
  explicit Model(const std::string& path)
      : path_(path),
        fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)),
        writer_(fd_.get(), {kMaxBytes, ""}) {
    root_.attributes.permissions = 0755;
  }

  Directory& root() { return root_; }
  ErofsWriter& writer() { return writer_; }
  const std::string& path() const { return path_; }

  Directory& AddDirectory(Directory& parent, const std::string& name,
                          const Attributes& attributes) {
    auto directory = std::make_unique<Directory>();
    directory->attributes = attributes;
    Directory& made = *directory;
    parent.children[name] = std::move(directory);
    return made;
  }
  InodeRef AddFile(Directory& parent, const std::string& name, const Attributes& attributes,
                   const std::string& content) {
    const auto inode = writer_.AddFile(attributes, content.size());
    EXPECT_OK(inode);
    // In odd pieces.
    for (size_t at = 0; at < content.size(); at += 10'007) {
      EXPECT_OK(writer_.AppendContent(absl::string_view(content).substr(at, 10'007)));
    }
    parent.children[name] = *inode;
    return *inode;
  }

  absl::Status Finish() { return writer_.Finish(root_, Uuid{1, 2, 3}); }

  std::map<std::string, ReadInode> Read() {
    EXPECT_OK(Finish());
    std::string bytes(writer_.bytes(), '\0');
    EXPECT_EQ(::pread(fd_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    struct stat info {};
    EXPECT_EQ(::fstat(fd_.get(), &info), 0);
    EXPECT_EQ(static_cast<uint64_t>(info.st_size), bytes.size());
    auto read = ReadErofs(bytes);
    EXPECT_OK(read);
    return read.ok() ? *std::move(read) : std::map<std::string, ReadInode>();
  }

 private:
  const std::string path_;
  const UniqueFd fd_;
  ErofsWriter writer_;
  Directory root_;
};

Attributes Plain(uint16_t permissions = 0644) {
  return {.permissions = permissions, .mtime = {1'700'000'000, 5}};
}

class ErofsWriterTest : public testing::Test {
 protected:
  TempDir directory_;
  Model model_{directory_.path() + "/fs.erofs"};
};

TEST_F(ErofsWriterTest, PutsSmallFilesBehindTheirInodes) {
  model_.AddFile(model_.root(), "empty", Plain(), "");
  model_.AddFile(model_.root(), "small", Plain(), "12345");
  model_.AddFile(model_.root(), "block", Plain(), std::string(4096, 'b'));
  model_.AddFile(model_.root(), "more", Plain(), std::string(4096, 'm') + "tail");
  model_.AddFile(model_.root(), "almost", Plain(), std::string(4095, 'a'));
  const auto tree = model_.Read();
  EXPECT_EQ(tree.at("small").layout, Layout::kInline);
  EXPECT_EQ(tree.at("more").layout, Layout::kInline);
  EXPECT_EQ(tree.at("block").layout, Layout::kPlain);
  EXPECT_EQ(tree.at("almost").layout, Layout::kPlain);  // with its inode it is more than a block
  EXPECT_EQ(tree.at("empty").size, 0u);
  EXPECT_EQ(tree.at("more").content, std::string(4096, 'm') + "tail");
  EXPECT_EQ(tree.at("almost").content, std::string(4095, 'a'));
  EXPECT_TRUE(tree.at("small").compact);  // all have the same time
}

TEST_F(ErofsWriterTest, TakesTheLargeInodeWhereItMust) {
  Attributes attributes = Plain();
  model_.AddFile(model_.root(), "first", attributes, "");
  attributes.uid = 65536;
  model_.AddFile(model_.root(), "uid", attributes, "");
  attributes = Plain();
  attributes.mtime = {-1, 999'999'999};
  model_.AddFile(model_.root(), "time", attributes, "");
  const auto tree = model_.Read();
  EXPECT_TRUE(tree.at("first").compact);
  EXPECT_FALSE(tree.at("uid").compact);
  EXPECT_EQ(tree.at("uid").uid, 65536u);
  EXPECT_FALSE(tree.at("time").compact);
  EXPECT_EQ(tree.at("time").mtime, (FileTime{-1, 999'999'999}));
}

TEST_F(ErofsWriterTest, KeepsHolesOutOfTheFile) {
  const uint64_t size = (uint64_t{6} << 30) + 100;
  ASSERT_OK_AND_ASSIGN(
      const InodeRef inode,
      model_.writer().AddSparseFile(Plain(), size,
                                    {{5000, 10}, {(uint64_t{5} << 30), 4096}, {size - 3, 3}}));
  ASSERT_OK(model_.writer().AppendContent(std::string(10, 'a') + std::string(4096, 'b') + "end"));
  model_.root().children["holes"] = inode;
  const auto tree = model_.Read();
  const ReadInode& holes = tree.at("holes");
  EXPECT_EQ(holes.size, size);
  EXPECT_EQ(holes.layout, Layout::kChunked);
  EXPECT_EQ(holes.content.substr(4990, 30),
            std::string(10, '\0') + std::string(10, 'a') + std::string(10, '\0'));
  EXPECT_GT(holes.hole_bytes, size - (1 << 20));
  EXPECT_LT(model_.writer().bytes(), uint64_t{1} << 20);
}

TEST_F(ErofsWriterTest, TakesFilesOfMoreThan4GiB) {
  const uint64_t size = (uint64_t{4} << 30) + 10;
  ASSERT_OK_AND_ASSIGN(const InodeRef inode, model_.writer().AddFile(Plain(), size));
  const std::string piece(1 << 20, '\0');  // zeroes: no disk for it
  for (uint64_t done = 0; done < size; done += piece.size()) {
    ASSERT_OK(model_.writer().AppendContent(
        absl::string_view(piece).substr(0, std::min<uint64_t>(piece.size(), size - done))));
  }
  model_.root().children["large"] = inode;
  ASSERT_OK(model_.Finish());
  struct stat info {};
  ASSERT_EQ(::stat(model_.path().c_str(), &info), 0);
  EXPECT_GT(static_cast<uint64_t>(info.st_size), size);
  EXPECT_LT(info.st_blocks, 4096);  // of 512 bytes
}

TEST_F(ErofsWriterTest, SortsLargeDirectoriesByBytes) {
  Directory& large = model_.AddDirectory(model_.root(), "large", Plain(0755));
  const InodeRef inode = model_.AddFile(large, "-before the dot", Plain(), "");
  for (int i = 0; i < 5000; ++i) {
    large.children[absl::StrCat(std::string(static_cast<size_t>(i % 200), 'n'), i)] = inode;
  }
  large.children["\xff"] = inode;
  const auto tree = model_.Read();
  EXPECT_EQ(tree.size(), 5004u);
  EXPECT_EQ(tree.at("large/\xff").links, 5002u);
}

TEST_F(ErofsWriterTest, CountsSubdirectoriesBeyondSixteenBits) {
  for (int i = 0; i < 66'000; ++i) model_.AddDirectory(model_.root(), absl::StrCat(i), Plain(0700));
  const auto tree = model_.Read();
  EXPECT_EQ(tree.at("").links, 66'002u);
}

TEST_F(ErofsWriterTest, RefusesMoreLinksThanTheSmallInodeCounts) {
  const InodeRef inode = model_.AddFile(model_.root(), "x", Plain(), "");
  for (int i = 0; i < 65'536; ++i) model_.root().children[absl::StrCat(i)] = inode;
  EXPECT_THAT(model_.Finish(), HasReason(Reason::kImageTooLarge));
}

TEST_F(ErofsWriterTest, TakesAttributesUpToTheFormatsEnd) {
  Attributes attributes = Plain();
  for (int i = 0; i < 4; ++i) {
    attributes.xattrs.push_back(
        {absl::StrCat("user.", i), std::string(65'000, static_cast<char>('0' + i))});
  }
  model_.AddFile(model_.root(), "much", attributes, "content");
  attributes.xattrs.push_back({"user.more", std::string(65'000, 'x')});
  EXPECT_THAT(model_.writer().AddFile(attributes, 0), HasReason(Reason::kImageTooLarge));
  attributes.xattrs = {{"user.x", std::string(65'536, 'x')}};
  EXPECT_THAT(model_.writer().AddFile(attributes, 0), HasReason(Reason::kImageTooLarge));
  const auto tree = model_.Read();
  EXPECT_EQ(tree.at("much").xattrs.size(), 4u);
  EXPECT_EQ(tree.at("much").xattrs.at("user.3"), std::string(65'000, '3'));
}

TEST_F(ErofsWriterTest, SaysWhenTheRootsAttributesHaveNoRoom) {
  model_.root().attributes.xattrs = {{"user.x", std::string(3000, 'x')}};
  EXPECT_THAT(model_.Finish(), HasReason(Reason::kImageTooLarge));
}

TEST_F(ErofsWriterTest, StopsAtItsLimit) {
  const UniqueFd fd(
      ::open((directory_.path() + "/small").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ErofsWriter writer(fd.get(), {100'000, "of the test"});
  ASSERT_OK(writer.AddFile(Plain(), 200'000));
  EXPECT_THAT(writer.AppendContent(std::string(200'000, 'x')), HasReason(Reason::kImageTooLarge));
}

TEST_F(ErofsWriterTest, AFullDiskSaysSo) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ErofsWriter writer(full.get(), {kMaxBytes, ""});
  // More than is held back.
  ASSERT_OK(writer.AddFile(Plain(), 1 << 20));
  EXPECT_THAT(writer.AppendContent(std::string(1 << 20, 'x')), HasReason(Reason::kNoSpace));
}

// --- Against other readers: erofs-utils and the kernel
// --------------------------------------------

// A tree of everything, the same for the same seed.
class RandomTree {
 public:
  RandomTree(Model& model, uint32_t seed) : model_(model), engine_(seed) {}

  void Fill(Directory& parent, int depth) {
    const int entries = Below(depth == 0 ? 60 : 12);
    for (int i = 0; i < entries; ++i) AddOne(parent, Name(), depth);
  }

 private:
  uint32_t Random() { return static_cast<uint32_t>(engine_()); }
  int Below(int bound) { return static_cast<int>(Random() % static_cast<uint32_t>(bound)); }

  std::string Name() {
    std::string name;
    const int length = Below(10) == 0 ? 1 + Below(255) : 1 + Below(12);
    while (static_cast<int>(name.size()) < length) {
      const char c = static_cast<char>(Random());
      if (c != '/' && c != '\0') name += c;
    }
    return name == "." || name == ".." ? "dots" : name;
  }

  std::string Bytes(int count) {
    std::string bytes(static_cast<size_t>(count), '\0');
    for (char& c : bytes) c = static_cast<char>(Random());
    return bytes;
  }

  // The kernel shows user.* of files and directories alone.
  Attributes Any(const std::string& namespace_of_some = "trusted.") {
    Attributes attributes;
    attributes.permissions = static_cast<uint16_t>(Random() & 07777);
    attributes.uid = Below(2) == 0 ? 0 : Random() >> 1;
    attributes.gid = static_cast<uint32_t>(Below(70'000));
    if (Below(3) != 0)
      attributes.mtime = {static_cast<int64_t>(Random()) - 1'000'000'000, Random() % 1'000'000'000};
    for (int i = Below(4); i > 0; --i) {
      attributes.xattrs.push_back({absl::StrCat(namespace_of_some, i), Bytes(Below(60))});
    }
    if (Below(6) == 0) attributes.xattrs.push_back({"trusted.big", Bytes(Below(9000))});
    if (Below(6) == 0) attributes.xattrs.push_back({"security.x", Bytes(20)});
    return attributes;
  }

  int AnySize() {
    const int around = 4096 * (1 + Below(3)) - 100 + Below(200);
    const int sizes[] = {0, Below(100), Below(4096), around, Below(300'000)};
    return sizes[Below(5)];
  }

  InodeRef Sparse() {
    const uint64_t size = uint64_t{Random()} >> Below(12);
    std::vector<Extent> extents;
    std::string content;
    uint64_t offset = 0;
    for (int i = Below(20); i > 0; --i) {
      offset += Random() % (size / 8 + 1);
      const auto bytes = static_cast<uint64_t>(Below(20'000));
      if (offset + bytes > size) break;
      extents.push_back({offset, bytes});
      content += Bytes(static_cast<int>(bytes));
      offset += bytes;
    }
    const auto inode = model_.writer().AddSparseFile(Any("user."), size, extents);
    EXPECT_OK(inode);
    EXPECT_OK(model_.writer().AppendContent(content));
    return *inode;
  }

  void AddOne(Directory& parent, const std::string& name, int depth) {
    switch (Below(9)) {
      case 0:
      case 1:
        if (depth < 4) return Fill(model_.AddDirectory(parent, name, Any("user.")), depth + 1);
        [[fallthrough]];
      case 2:
      case 3:
        last_ = model_.AddFile(parent, name, Any("user."), Bytes(AnySize()));
        return;
      case 4:
        parent.children[name] = *model_.writer().AddSymlink(
            Any(), std::string(static_cast<size_t>(1 + Below(4095)), 's'));
        return;
      case 5:
        parent.children[name] = *model_.writer().AddSpecial(
            Any(), Below(2) == 0 ? FileType::kCharDevice : FileType::kBlockDevice,
            static_cast<uint32_t>(Below(4096)), static_cast<uint32_t>(Below(1 << 20)));
        return;
      case 6:
        parent.children[name] = *model_.writer().AddSpecial(
            Any(), Below(2) == 0 ? FileType::kFifo : FileType::kSocket, 0, 0);
        return;
      case 7:
        parent.children[name] = Sparse();
        return;
      default:
        if (last_) parent.children[name] = *last_;
        return;
    }
  }

  Model& model_;
  std::mt19937 engine_;
  std::optional<InodeRef> last_;
};

int RunCommand(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::map<std::string, std::string> XattrsOf(const std::string& path) {
  std::string names(65536, '\0');
  const ssize_t bytes = ::llistxattr(path.c_str(), names.data(), names.size());
  EXPECT_GE(bytes, 0) << path;
  std::map<std::string, std::string> xattrs;
  for (const absl::string_view name :
       absl::StrSplit(absl::string_view(names).substr(0, static_cast<size_t>(bytes)), '\0',
                      absl::SkipEmpty())) {
    std::string value(65536, '\0');
    const ssize_t got =
        ::lgetxattr(path.c_str(), std::string(name).c_str(), value.data(), value.size());
    EXPECT_GE(got, 0) << path << " " << name;
    value.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    xattrs[std::string(name)] = value;
  }
  return xattrs;
}

std::string ContentOf(const std::string& path, const ReadInode& inode) {
  std::string content(inode.content.size(), '\0');
  if (S_ISLNK(inode.mode)) {
    EXPECT_EQ(::readlink(path.c_str(), content.data(), content.size()),
              static_cast<ssize_t>(content.size()));
    return content;
  }
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  size_t done = 0;
  for (ssize_t got; (got = ::read(fd.get(), &content[done], content.size() - done)) > 0;) {
    done += static_cast<size_t>(got);
  }
  EXPECT_EQ(done, content.size()) << path;
  return content;
}

void ExpectSame(const std::string& path, const ReadInode& wanted) {
  struct stat info {};
  ASSERT_EQ(::lstat(path.c_str(), &info), 0) << path;
  EXPECT_EQ(info.st_mode, wanted.mode) << path;
  EXPECT_EQ(info.st_uid, wanted.uid) << path;
  EXPECT_EQ(info.st_gid, wanted.gid) << path;
  EXPECT_EQ(info.st_nlink, wanted.links) << path;
  EXPECT_EQ(info.st_mtim.tv_sec, wanted.mtime.seconds) << path;
  EXPECT_EQ(static_cast<uint32_t>(info.st_mtim.tv_nsec), wanted.mtime.nanoseconds) << path;
  if (S_ISCHR(wanted.mode) || S_ISBLK(wanted.mode)) {
    const uint32_t device = (minor(info.st_rdev) & 0xff) | (major(info.st_rdev) << 8) |
                            ((minor(info.st_rdev) & ~0xffu) << 12);
    EXPECT_EQ(device, wanted.device) << path;
  }
  EXPECT_EQ(XattrsOf(path), wanted.xattrs) << path;
  if (S_ISREG(wanted.mode) || S_ISLNK(wanted.mode)) {
    EXPECT_EQ(static_cast<uint64_t>(info.st_size), wanted.size) << path;
    EXPECT_TRUE(ContentOf(path, wanted) == wanted.content) << path;
  }
}

size_t CountNames(const std::string& path) {
  size_t count = 1;
  DIR* const folder = ::opendir(path.c_str());
  MSB_CHECK(folder != nullptr);
  while (const dirent* entry = ::readdir(folder)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    count += entry->d_type == DT_DIR ? CountNames(absl::StrCat(path, "/", name)) : 1;
  }
  ::closedir(folder);
  return count;
}

class RandomTreeTest : public ErofsWriterTest, public testing::WithParamInterface<uint32_t> {
 protected:
  RandomTreeTest() { RandomTree(model_, GetParam()).Fill(model_.root(), 0); }
};

TEST_P(RandomTreeTest, PassesErofsUtilsChecker) {
  if (RunCommand("fsck.erofs -V >/dev/null 2>&1") != 0) GTEST_SKIP() << "there is no fsck.erofs";
  ASSERT_OK(model_.Finish());
  EXPECT_EQ(RunCommand(absl::StrCat("fsck.erofs --extract ", model_.path(), " >/dev/null")), 0);
  EXPECT_EQ(RunCommand(absl::StrCat("dump.erofs -s -S ", model_.path(), " >/dev/null")), 0);
}

TEST_P(RandomTreeTest, IsTheSameToTheKernel) {
  const auto tree = model_.Read();
  const std::string target = directory_.path() + "/mnt";
  ASSERT_EQ(::mkdir(target.c_str(), 0700), 0);
  if (RunCommand(absl::StrCat("mount -t erofs -o loop,ro ", model_.path(), " ", target,
                              " 2>/dev/null")) != 0) {
    GTEST_SKIP() << "cannot mount EROFS here: it needs root and a kernel that has it";
  }
  for (const auto& [path, inode] : tree) {
    ExpectSame(path.empty() ? target : absl::StrCat(target, "/", path), inode);
  }
  EXPECT_EQ(CountNames(target), tree.size());
  EXPECT_EQ(RunCommand("umount " + target), 0);
}

TEST_P(RandomTreeTest, MakesTheSameBytesAgain) {
  ASSERT_OK(model_.Finish());
  Model again(directory_.path() + "/again.erofs");
  RandomTree(again, GetParam()).Fill(again.root(), 0);
  ASSERT_OK(again.Finish());
  EXPECT_TRUE(directory_.Read("fs.erofs") == directory_.Read("again.erofs"));
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomTreeTest, testing::Range(1u, 9u));

}  // namespace
}  // namespace msb::image
