// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/layer/build_layer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "image/blob/digest.h"
#include "tests/support/image/erofs_reader.h"
#include "tests/support/image/tar_builder.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb::image {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

using Tree = std::map<std::string, ReadInode>;

std::string DiffIdOf(const std::string& tar) { return Sha256::Of(tar).text(); }

std::string Gzip(const std::string& bytes) {
  z_stream stream = {};
  EXPECT_EQ(::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(::deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& bytes) {
  std::string out(::ZSTD_compressBound(bytes.size()), '\0');
  out.resize(::ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

class BuildLayerTest : public testing::Test {
 protected:
  absl::StatusOr<LayerSummary> Build(const std::string& blob, const std::string& diff_id = "") {
    directory_.Write("blob", blob);
    const UniqueFd in(::open((directory_.path() + "/blob").c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd out(::open((directory_.path() + "/erofs").c_str(),
                              O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    return BuildLayer(in.get(), out.get(), diff_id, limits_, progress_);
  }
  // Of a tar that is right.
  Tree TreeOf(const std::string& blob) {
    const auto built = Build(blob);
    EXPECT_OK(built);
    if (!built.ok()) return {};
    const auto tree = ReadErofs(directory_.Read("erofs"));
    EXPECT_OK(tree);
    if (!tree.ok()) return {};
    EXPECT_EQ(built->entries, tree->size());
    return *tree;
  }
  void ExpectRefused(const std::string& blob, Reason reason, const std::string& part) {
    const auto built = Build(blob);
    EXPECT_THAT(built, HasReason(reason));
    EXPECT_THAT(std::string(built.status().message()), HasSubstr(part));
  }

  TempDir directory_;
  LayerLimits limits_;
  LayerProgress progress_ = [](uint64_t, uint64_t) { return absl::OkStatus(); };
};

TEST_F(BuildLayerTest, KeepsWhatTheTarSaysOfEachEntry) {
  const Tree tree = TreeOf(
      TarBuilder()
          .Directory("./", 0711)
          .Directory("etc/", 0750)
          .Add({.name = "etc/passwd",
                .content = "root\n",
                .mode = 04755,
                .uid = 70'000,
                .gid = 3'000'000'000,
                .pax = {{"mtime", "1700000001.987654321"}}})
          .Symlink("bin", "usr/bin")
          .Add({.name = "dev/null", .type = '3', .mode = 0666, .dev_major = 1, .dev_minor = 259})
          .Add({.name = "dev/sda", .type = '4', .dev_major = 8})
          .Add({.name = "run/pipe", .type = '6', .mode = 0600})
          .Finish());
  EXPECT_EQ(tree.size(), 9u);
  EXPECT_EQ(tree.at("").mode, S_IFDIR | 0711);
  EXPECT_EQ(tree.at("etc").mode, S_IFDIR | 0750);
  const ReadInode& passwd = tree.at("etc/passwd");
  EXPECT_EQ(passwd.content, "root\n");
  EXPECT_EQ(passwd.mode, S_IFREG | 04755);
  EXPECT_EQ(passwd.uid, 70'000u);
  EXPECT_EQ(passwd.gid, 3'000'000'000u);
  EXPECT_EQ(passwd.mtime, (FileTime{1'700'000'001, 987'654'321}));
  EXPECT_EQ(tree.at("bin").mode, S_IFLNK | 0777);
  EXPECT_EQ(tree.at("bin").content, "usr/bin");
  EXPECT_EQ(tree.at("dev/null").mode, S_IFCHR | 0666);
  EXPECT_EQ(tree.at("dev/null").device, 0x100103u);  // new_encode_dev(1, 259)
  EXPECT_EQ(tree.at("dev/sda").mode, S_IFBLK | 0644);
  EXPECT_EQ(tree.at("run/pipe").mode, S_IFIFO | 0600);
  EXPECT_EQ(tree.at("run").mode, S_IFDIR | 0755);
  EXPECT_EQ(tree.at("run").uid, 0u);
}

TEST_F(BuildLayerTest, KeepsAttributesThatTheFormatHasAPlaceFor) {
  const std::string capability("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  const Tree tree =
      TreeOf(TarBuilder()
                 .Add({.name = "ping",
                       .content = "x",
                       .pax = {{"SCHILY.xattr.security.capability", capability},
                               {"SCHILY.xattr.user.note", "hello"},
                               {"SCHILY.xattr.trusted.own", ""},
                               {"SCHILY.xattr.system.posix_acl_access", "acl"},
                               {"SCHILY.xattr.btrfs.compression", "zstd"},
                               {"SCHILY.xattr.trusted.overlay.redirect", "/etc/shadow"}}})
                 .Finish());
  EXPECT_THAT(
      tree.at("ping").xattrs,
      UnorderedElementsAre(Pair("security.capability", capability), Pair("user.note", "hello"),
                           Pair("trusted.own", ""), Pair("system.posix_acl_access", "acl")));
}

TEST_F(BuildLayerTest, MakesWhiteoutsOverlayfsUnderstands) {
  const Tree tree = TreeOf(TarBuilder()
                               .File("etc/.wh.gone", "")
                               .File("var/cache/.wh..wh..opq", "")
                               .File("var/cache/new", "n")
                               .File(".wh..wh.plnk/1.2", "")
                               .Directory(".wh..wh.aufs")
                               .Finish());
  EXPECT_EQ(tree.at("etc/gone").mode & S_IFMT, S_IFCHR);
  EXPECT_EQ(tree.at("etc/gone").device, 0u);
  EXPECT_THAT(tree.at("var/cache").xattrs,
              UnorderedElementsAre(Pair("trusted.overlay.opaque", "y")));
  EXPECT_EQ(tree.at("var/cache/new").content, "n");
  EXPECT_EQ(tree.size(), 6u);
}

TEST_F(BuildLayerTest, HidesOnlyWhatLowerLayersHave) {
  for (const bool whiteout_first : {true, false}) {
    TarBuilder tar;
    if (whiteout_first) tar.File(".wh.dir", "").File(".wh.file", "");
    tar.Directory("dir", 0700).File("dir/own", "1").File("file", "2");
    if (!whiteout_first) tar.File(".wh.dir", "").File(".wh.file", "");
    const Tree tree = TreeOf(tar.Finish());
    EXPECT_EQ(tree.at("file").content, "2");
    EXPECT_EQ(tree.at("dir/own").content, "1");
    EXPECT_EQ(tree.at("dir").mode, S_IFDIR | 0700);
    EXPECT_THAT(tree.at("dir").xattrs, UnorderedElementsAre(Pair("trusted.overlay.opaque", "y")));
  }
}

TEST_F(BuildLayerTest, KeepsADirectoryOpaqueWhenItsOwnEntryComesLater) {
  const Tree tree =
      TreeOf(TarBuilder().File("d/.wh..wh..opq", "").File("d/x", "").Directory("d", 0700).Finish());
  EXPECT_EQ(tree.at("d").mode, S_IFDIR | 0700);
  EXPECT_THAT(tree.at("d").xattrs, UnorderedElementsAre(Pair("trusted.overlay.opaque", "y")));
  EXPECT_EQ(tree.count("d/x"), 1u);
}

TEST_F(BuildLayerTest, LetsALaterEntryTakeThePlaceOfAnEarlierOne) {
  const Tree tree = TreeOf(TarBuilder()
                               .File("a", "first")
                               .File("a", "second")
                               .File("tree/deep/file", "x")
                               .File("tree", "now a file")
                               .File("file", "x")
                               .Directory("file")
                               .Symlink("link", "elsewhere")
                               .Directory("link")
                               .File("link/inside", "y")
                               .Finish());
  EXPECT_EQ(tree.at("a").content, "second");
  EXPECT_EQ(tree.at("tree").content, "now a file");
  EXPECT_EQ(tree.count("tree/deep"), 0u);
  EXPECT_EQ(tree.at("file").mode, S_IFDIR | 0755);
  EXPECT_EQ(tree.at("link/inside").content, "y");
}

TEST_F(BuildLayerTest, SharesOneInodeAmongHardLinks) {
  const Tree tree = TreeOf(TarBuilder()
                               .File("bin/busybox", "elf")
                               .HardLink("bin/ls", "bin/busybox")
                               .HardLink("bin/cat", "/bin/ls")
                               .Symlink("s", "t")
                               .HardLink("s2", "s")
                               .File("bin/busybox", "new")
                               .Finish());
  EXPECT_EQ(tree.at("bin/ls").nid, tree.at("bin/cat").nid);
  EXPECT_EQ(tree.at("bin/ls").content, "elf");
  EXPECT_EQ(tree.at("bin/ls").links, 2u);
  EXPECT_EQ(tree.at("bin/busybox").content, "new");
  EXPECT_EQ(tree.at("s2").content, "t");
}

TEST_F(BuildLayerTest, TakesNamesAsToolsDo) {
  const Tree tree =
      TreeOf(TarBuilder().File("/abs", "1").File("./dot//x", "2").Directory("dir/").Finish());
  EXPECT_EQ(tree.at("abs").content, "1");
  EXPECT_EQ(tree.at("dot/x").content, "2");
  EXPECT_EQ(tree.at("dir").mode, S_IFDIR | 0755);
}

TEST_F(BuildLayerTest, KeepsNamesByteForByte) {
  const std::string composed = "\xc3\xa9.txt";     // one code point
  const std::string decomposed = "e\xcc\x81.txt";  // the same letter in two
  const Tree tree = TreeOf(TarBuilder()
                               .Add({.name = "x", .content = "1", .pax = {{"path", composed}}})
                               .Add({.name = "x", .content = "2", .pax = {{"path", decomposed}}})
                               .Add({.name = "x", .content = "3", .pax = {{"path", "\xff\xfe"}}})
                               .Finish());
  EXPECT_EQ(tree.at(composed).content, "1");
  EXPECT_EQ(tree.at(decomposed).content, "2");
  EXPECT_EQ(tree.at("\xff\xfe").content, "3");
}

TEST_F(BuildLayerTest, ReadsGzipAndZstdInOneAndInMorePieces) {
  std::string content;
  for (int i = 0; i < 100'000; ++i) content += absl::StrCat(i * 7919, " ");
  const std::string tar = TarBuilder().File("big", content).Finish();
  const std::string head = tar.substr(0, 1000);
  const std::string tail = tar.substr(1000);
  for (const std::string& blob :
       {tar, Gzip(tar), Zstd(tar), Gzip(head) + Gzip(tail), Zstd(head) + Zstd(tail)}) {
    ASSERT_OK_AND_ASSIGN(const LayerSummary summary, Build(blob, DiffIdOf(tar)));
    EXPECT_EQ(summary.diff_id, DiffIdOf(tar));
    EXPECT_EQ(summary.tar_bytes, tar.size());
    ASSERT_OK_AND_ASSIGN(const Tree tree, ReadErofs(directory_.Read("erofs")));
    EXPECT_TRUE(tree.at("big").content == content);
  }
}

TEST_F(BuildLayerTest, MakesTheSameBytesOfTheSameTar) {
  const std::string tar = TarBuilder().File("a/b", std::string(9000, 'x')).Directory("c").Finish();
  ASSERT_OK(Build(tar));
  const std::string first = directory_.Read("erofs");
  ASSERT_OK(Build(Gzip(tar)));
  EXPECT_TRUE(directory_.Read("erofs") == first);
}

TEST_F(BuildLayerTest, MakesAnEmptyDirectoryOfAnEmptyTar) {
  EXPECT_EQ(TreeOf(std::string(1024, '\0')).size(), 1u);
  EXPECT_EQ(TreeOf("").size(), 1u);
}

TEST_F(BuildLayerTest, TakesATarThatEndsWithItsLastContent) {
  const std::string tar = TarBuilder().File("a", std::string(5000, 'x')).Finish();
  for (const size_t bytes : {512 + 5000, 512 + 5000 + 7, 512 + 5120}) {
    EXPECT_EQ(TreeOf(tar.substr(0, bytes)).size(), 2u) << bytes;
  }
}

TEST_F(BuildLayerTest, CountsWhatComesBehindTheTarsEnd) {
  const std::string tar = TarBuilder().File("a", "1").Finish() + std::string(300'000, 'z');
  ASSERT_OK_AND_ASSIGN(const LayerSummary summary, Build(tar, DiffIdOf(tar)));
  EXPECT_EQ(summary.tar_bytes, tar.size());
}

TEST_F(BuildLayerTest, RefusesAnotherDiffId) {
  const std::string tar = TarBuilder().File("a", "1").Finish();
  EXPECT_THAT(Build(tar, DiffIdOf("other")), HasReason(Reason::kImageDigestMismatch));
}

TEST_F(BuildLayerTest, RefusesNamesThatLeadOut) {
  for (const char* name : {"../x", "a/../../x", "a/..", "..", "/../etc/passwd"}) {
    ExpectRefused(TarBuilder().File(name, "").Finish(), Reason::kImageInvalid, "'..'");
  }
  ExpectRefused(TarBuilder().File("a", "").HardLink("b", "../../etc/shadow").Finish(),
                Reason::kImageInvalid, "'..'");
}

TEST_F(BuildLayerTest, RefusesToGoThroughASymbolicLink) {
  ExpectRefused(TarBuilder().Symlink("etc", "/tmp").File("etc/passwd", "x").Finish(),
                Reason::kImageInvalid, "symbolic link");
  ExpectRefused(TarBuilder().Symlink("etc", "/tmp").File("etc/.wh.passwd", "").Finish(),
                Reason::kImageInvalid, "symbolic link");
  ExpectRefused(TarBuilder().File("f", "").File("f/x", "").Finish(), Reason::kImageInvalid,
                "no directory");
  ExpectRefused(TarBuilder().Symlink("l", "/tmp").HardLink("m", "l/passwd").Finish(),
                Reason::kImageInvalid, "hard link");
}

TEST_F(BuildLayerTest, RefusesHardLinksToWhatTheLayerDoesNotHave) {
  ExpectRefused(TarBuilder().HardLink("b", "in/a/lower/layer").Finish(), Reason::kImageInvalid,
                "hard link to 'in/a/lower/layer'");
  ExpectRefused(TarBuilder().HardLink("b", "c").File("c", "").Finish(), Reason::kImageInvalid,
                "before");
  ExpectRefused(TarBuilder().Directory("d").HardLink("b", "d").Finish(), Reason::kImageInvalid,
                "hard link");
  ExpectRefused(TarBuilder().File(".wh.w", "").HardLink("b", "w").Finish(), Reason::kImageInvalid,
                "hard link");
}

TEST_F(BuildLayerTest, RefusesWhiteoutsOfNothing) {
  for (const char* name : {".wh.", ".wh..", ".wh...", "a/.wh..."}) {
    ExpectRefused(TarBuilder().File(name, "").Finish(), Reason::kImageInvalid,
                  "whiteout of nothing");
  }
  ExpectRefused(TarBuilder().File(".wh.a/b", "").Finish(), Reason::kImageInvalid,
                "below a whiteout");
}

TEST_F(BuildLayerTest, RefusesWhatNoFileSystemHas) {
  ExpectRefused(TarBuilder().Symlink("s", "").Finish(), Reason::kImageInvalid,
                "symbolic link of 0");
  ExpectRefused(TarBuilder().Symlink("s", std::string(4096, 'x')).Finish(), Reason::kImageInvalid,
                "4096 bytes");
  ExpectRefused(TarBuilder().File("./", "root").Finish(), Reason::kImageInvalid, "root");
  ExpectRefused(TarBuilder().File(std::string(256, 'x'), "").Finish(), Reason::kImageTooLarge,
                "255");
  ExpectRefused(TarBuilder().Add({.name = "x", .type = 'Z'}).Finish(), Reason::kImageInvalid,
                "unknown");
}

TEST_F(BuildLayerTest, HoldsTheLimits) {
  limits_.max_entries = 10;
  TarBuilder many;
  for (int i = 0; i < 11; ++i) many.File(absl::StrCat("f", i), "");
  ExpectRefused(many.Finish(), Reason::kImageTooLarge, "more than 10 entries");
  // Parents that the tar does not have count too.
  ExpectRefused(TarBuilder().File("1/2/3/4/5/6/7/8/9/10/11", "").Finish(), Reason::kImageTooLarge,
                "more than 10 entries");
  limits_.max_name_bytes = 20;
  ExpectRefused(TarBuilder().File("abcdefghij/abcdefghij", "").Finish(), Reason::kImageTooLarge,
                "21 bytes");
  limits_.max_bytes.bytes = 100'000;
  ExpectRefused(
      TarBuilder().File("a", std::string(90'000, 'x')).File("b", std::string(20'000, 'x')).Finish(),
      Reason::kImageTooLarge, "more than 100000 bytes");
  ExpectRefused(TarBuilder()
                    .Add({.name = "holes",
                          .pax = {{"GNU.sparse.major", "0"},
                                  {"GNU.sparse.minor", "1"},
                                  {"GNU.sparse.map", ""},
                                  {"GNU.sparse.size", "9000000000000000000"}}})
                    .Finish(),
                Reason::kImageTooLarge, "more than 100000 bytes");
}

TEST_F(BuildLayerTest, SaysWhoseLimitItMet) {
  const std::string tar = TarBuilder().File("a", std::string(90'000, 'x')).Finish();
  limits_.max_bytes = {80'000, "images.max_layer_mib"};
  limits_.room_bytes = 85'000;
  ExpectRefused(tar, Reason::kImageTooLarge, "80000 bytes (images.max_layer_mib)");
  limits_.max_bytes.bytes = 1'000'000;
  ExpectRefused(tar, Reason::kNoSpace,
                "85000 bytes (all that the store has left of images.store_mib)");
}

TEST_F(BuildLayerTest, RefusesBombs) {
  limits_.max_compression_ratio = 100;
  const std::string tar = TarBuilder().File("zeroes", std::string(8 << 20, '\0')).Finish();
  ExpectRefused(Zstd(tar), Reason::kImageTooLarge, "expands more than 100 times");
  // Behind the tar's end too.
  ExpectRefused(Gzip(TarBuilder().Finish() + std::string(8 << 20, '\0')), Reason::kImageTooLarge,
                "expands more than 100 times");
  limits_.max_compression_ratio = 100'000;
  EXPECT_OK(Build(Zstd(tar)));
}

TEST_F(BuildLayerTest, RefusesWhatIsCutShort) {
  const std::string tar = TarBuilder().File("a", std::string(5000, 'x')).File("b", "1").Finish();
  for (const size_t bytes : {1, 511, 513, 3000, 5700, 6144}) {
    ExpectRefused(tar.substr(0, bytes), Reason::kImageInvalid, "cut short");
  }
  const std::string gzip = Gzip(tar);
  ExpectRefused(gzip.substr(0, gzip.size() - 4), Reason::kImageInvalid, "cut short");
  const std::string zstd = Zstd(tar);
  ExpectRefused(zstd.substr(0, zstd.size() - 4), Reason::kImageInvalid, "cut short");
}

TEST_F(BuildLayerTest, RefusesDamage) {
  std::string gzip = Gzip(TarBuilder().File("a", "some content").Finish());
  gzip[gzip.size() - 6] ^= 1;  // of the checksum
  ExpectRefused(gzip, Reason::kImageInvalid, "gzip");
  ExpectRefused(Gzip("") + "trash", Reason::kImageInvalid, "gzip");
  ExpectRefused(std::string(2000, 'x'), Reason::kImageInvalid, "checksum");
}

TEST_F(BuildLayerTest, SaysWhichCompressionItDoesNotRead) {
  ExpectRefused("BZh91AY", Reason::kImageUnsupported, "bzip2");
  ExpectRefused(std::string("\xfd\x37zXZ\0", 6), Reason::kImageUnsupported, "xz");
}

TEST_F(BuildLayerTest, EndsWhenProgressSaysSo) {
  uint64_t last = 0;
  progress_ = [&](uint64_t done, uint64_t total) {
    EXPECT_LE(done, total);
    last = done;
    return absl::OkStatus();
  };
  const std::string tar = TarBuilder().File("a", std::string(3 << 20, 'x')).Finish();
  ASSERT_OK(Build(tar));
  EXPECT_EQ(last, tar.size());
  progress_ = [](uint64_t done, uint64_t) {
    return done > 1 << 20 ? absl::CancelledError("enough") : absl::OkStatus();
  };
  EXPECT_EQ(Build(tar).status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace msb::image
