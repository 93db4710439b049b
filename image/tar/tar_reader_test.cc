// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/tar/tar_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "image/tar/number.h"
#include "tests/support/image/tar_builder.h"
#include "tests/support/matchers.h"

namespace msb::image::tar {
namespace {

using testing::ElementsAre;

// In pieces of odd sizes.
class StringSource final : public ByteSource {
 public:
  explicit StringSource(std::string bytes) : bytes_(std::move(bytes)) {}
  absl::StatusOr<absl::string_view> Read(size_t max_bytes) override {
    const absl::string_view piece =
        absl::string_view(bytes_).substr(at_, std::min<size_t>(max_bytes, 333));
    at_ += piece.size();
    return piece;
  }

 private:
  const std::string bytes_;
  size_t at_ = 0;
};

struct Read {
  Entry entry;
  std::string content;
};

absl::StatusOr<std::vector<Read>> ReadAll(const std::string& tar) {
  StringSource source(tar);
  Reader reader(source);
  std::vector<Read> all;
  while (true) {
    MSB_ASSIGN_OR_RETURN(std::optional<Entry> entry, reader.Next());
    if (!entry) return all;
    Read read = {.entry = *std::move(entry)};
    while (true) {
      MSB_ASSIGN_OR_RETURN(const absl::string_view piece, reader.ReadContent());
      if (piece.empty()) break;
      absl::StrAppend(&read.content, piece);
    }
    all.push_back(std::move(read));
  }
}

Read ReadOne(const std::string& tar) {
  auto all = ReadAll(tar);
  EXPECT_OK(all);
  if (!all.ok() || all->empty()) return {};
  return all->back();
}

TEST(TarNumberTest, ReadsWhatTarsWrite) {
  EXPECT_EQ(ParseField(absl::string_view("0000644\0", 8)), 0644);
  EXPECT_EQ(ParseField("   644 "), 0644);
  EXPECT_EQ(ParseField(absl::string_view("\0\0\0\0", 4)), 0);
  EXPECT_EQ(ParseField("0000008"), std::nullopt);
  EXPECT_EQ(ParseField("7777777777777777777777777"), std::nullopt);
  EXPECT_EQ(ParseField(absl::string_view("\x80\0\0\0\0\0\0\1\0\0\0\2", 12)),
            (int64_t{1} << 32) + 2);
  EXPECT_EQ(ParseField("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), -2);
  EXPECT_EQ(ParseField("\x8f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), std::nullopt);
}

TEST(TarNumberTest, ReadsTimes) {
  EXPECT_EQ(ParseTime("12"), (FileTime{12, 0}));
  EXPECT_EQ(ParseTime("12.5"), (FileTime{12, 500'000'000}));
  EXPECT_EQ(ParseTime("12.0000000019"), (FileTime{12, 1}));
  EXPECT_EQ(ParseTime("-1.25"), (FileTime{-2, 750'000'000}));
  EXPECT_EQ(ParseTime("-1"), (FileTime{-1, 0}));
  for (const char* text : {"", "-", ".5", "1.x", "1e3", "99999999999999999999"}) {
    EXPECT_EQ(ParseTime(text), std::nullopt) << text;
  }
}

TEST(TarReaderTest, TakesLongNamesOfPaxAndOfGnu) {
  const std::string name(300, 'n');
  EXPECT_EQ(ReadOne(TarBuilder().File(name, "x").Finish()).entry.name, name);
  const Read gnu =
      ReadOne(TarBuilder()
                  .Add({.name = "././@LongLink", .type = 'K', .content = "target"})
                  .Add({.name = "././@LongLink", .type = 'L', .content = name})
                  .Add({.name = "short", .type = '2', .link = "s", .pax = {{"path", "pax"}}})
                  .Finish());
  EXPECT_EQ(gnu.entry.name, name);  // before pax's, as in Go
  EXPECT_EQ(gnu.entry.link, "target");
}

TEST(TarReaderTest, TakesThePrefixOfUstar) {
  std::string header = TarBuilder::Header({.name = "name"}, 0);
  header.replace(345, 6, "prefix");
  TarBuilder::SetChecksum(header);
  EXPECT_EQ(ReadOne(header).entry.name, "prefix/name");
  header.replace(257, 8, absl::string_view("ustar  \0", 8).data(), 8);  // GNU: times stand there
  TarBuilder::SetChecksum(header);
  EXPECT_EQ(ReadOne(header).entry.name, "name");
}

TEST(TarReaderTest, GivesLinksAndDirectoriesNoContentWhateverTheirSize) {
  std::string tar = TarBuilder::Header({.name = "d", .type = '5'}, 5000);
  tar += TarBuilder::Header({.name = "l", .type = '1', .link = "x"}, 512);
  tar += TarBuilder().File("f", "content").Finish();
  ASSERT_OK_AND_ASSIGN(const auto all, ReadAll(tar));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[2].content, "content");
}

TEST(TarReaderTest, TakesAnOldFileWithASlashForADirectory) {
  EXPECT_EQ(ReadOne(TarBuilder().Add({.name = "d/", .type = '\0'}).Finish()).entry.type,
            Entry::Type::kDirectory);
  EXPECT_EQ(ReadOne(TarBuilder().Add({.name = "f", .type = '\0'}).Finish()).entry.type,
            Entry::Type::kFile);
}

TEST(TarReaderTest, TakesNothingFromAGlobalHeader) {
  const std::string record = TarBuilder::PaxRecord("path", "other");
  EXPECT_EQ(
      ReadOne(
          TarBuilder().Add({.name = "g", .type = 'g', .content = record}).File("own", "").Finish())
          .entry.name,
      "own");
}

TEST(TarReaderTest, ReadsEachFormOfSparseFiles) {
  const std::string data = "firstsecond";
  const auto pax = [&](std::vector<std::pair<std::string, std::string>> records,
                       std::string content) {
    return TarBuilder()
        .Add({.name = "GNUSparseFile.0/s", .content = content, .pax = records})
        .Finish();
  };
  std::string map10 = "2\n1000\n5\n9000\n6\n";
  map10.resize(512, '\0');
  std::string old = TarBuilder::Header({.name = "s", .type = 'S'}, data.size());
  const auto put = [&](size_t at, uint64_t value) {
    old.replace(at, 11, absl::StrFormat("%011o", value));
  };
  put(386, 1000);
  put(398, 5);
  put(410, 9000);
  put(422, 6);
  put(483, 10000);
  TarBuilder::SetChecksum(old);
  const std::string padded = data + std::string(512 - data.size(), '\0');
  for (const std::string& tar : {old + padded,
                                 pax({{"GNU.sparse.major", "1"},
                                      {"GNU.sparse.minor", "0"},
                                      {"GNU.sparse.name", "s"},
                                      {"GNU.sparse.realsize", "10000"}},
                                     map10 + data),
                                 pax({{"GNU.sparse.major", "0"},
                                      {"GNU.sparse.minor", "1"},
                                      {"GNU.sparse.name", "s"},
                                      {"GNU.sparse.map", "1000,5,9000,6"},
                                      {"GNU.sparse.size", "10000"}},
                                     data),
                                 pax({{"path", "s"},
                                      {"GNU.sparse.size", "10000"},
                                      {"GNU.sparse.offset", "1000"},
                                      {"GNU.sparse.numbytes", "5"},
                                      {"GNU.sparse.offset", "9000"},
                                      {"GNU.sparse.numbytes", "6"}},
                                     data)}) {
    const Read read = ReadOne(tar);
    EXPECT_EQ(read.entry.name, "s");
    EXPECT_EQ(read.entry.size, 10000u);
    ASSERT_TRUE(read.entry.extents.has_value());
    EXPECT_THAT(*read.entry.extents, ElementsAre(Extent{1000, 5}, Extent{9000, 6}));
    EXPECT_EQ(read.content, data);
  }
}

TEST(TarReaderTest, RefusesSparseMapsThatDoNotFit) {
  const auto with = [](const std::string& map, const std::string& size) {
    return ReadAll(TarBuilder()
                       .Add({.name = "s",
                             .content = "12345",
                             .pax = {{"GNU.sparse.map", map}, {"GNU.sparse.size", size}}})
                       .Finish())
        .status();
  };
  EXPECT_OK(with("0,2,4,3", "7"));
  for (const char* map : {"0,2,4,4", "4,3,0,2", "0,3,2,2",
                          "0,5,9223372036854775807,9223372036854775807", "0", "0,x", "10,5"}) {
    EXPECT_THAT(with(map, "7"), HasReason(Reason::kImageInvalid)) << map;
  }
}

TEST(TarReaderTest, RefusesHeadersThatAreNone) {
  std::string header = TarBuilder::Header({.name = "f"}, 0);
  header[0] = 'g';
  EXPECT_THAT(ReadAll(header), HasReason(Reason::kImageInvalid));
  header = TarBuilder::Header({.name = "f"}, 0);
  header.replace(124, 11, "9999999999 ");  // no octal size
  TarBuilder::SetChecksum(header);
  EXPECT_THAT(ReadAll(header), HasReason(Reason::kImageInvalid));
  EXPECT_THAT(ReadAll(TarBuilder::Header({.name = ""}, 0)), HasReason(Reason::kImageInvalid));
  EXPECT_THAT(ReadAll(TarBuilder::Header({.name = "x", .type = 'x'}, 2 << 20)),
              HasReason(Reason::kImageTooLarge));
  EXPECT_THAT(ReadAll(std::string(512, '\0') + header), HasReason(Reason::kImageInvalid));
  EXPECT_THAT(ReadAll(TarBuilder().Add({.name = "f", .pax = {{"uid", "4294967295"}}}).Finish()),
              HasReason(Reason::kImageInvalid));
}

TEST(TarReaderTest, RefusesBrokenPaxRecords) {
  for (const std::string& records :
       {std::string("x"), std::string("5 a=b"), std::string("3 a\n"), std::string("6 a=b\n\n"),
        std::string("5 =b\n"), std::string("99 a=b\n"), std::string("12345678901 a=b\n"),
        TarBuilder::PaxRecord("path", std::string("a\0b", 3)), TarBuilder::PaxRecord("uid", "-1"),
        TarBuilder::PaxRecord("mtime", "soon")}) {
    std::string tar =
        TarBuilder().Add({.name = "pax", .type = 'x', .content = records}).File("f", "").Finish();
    EXPECT_THAT(ReadAll(tar), HasReason(Reason::kImageInvalid)) << records;
  }
  EXPECT_THAT(ReadAll(TarBuilder().Add({.name = "pax", .type = 'x'}).Finish()),
              HasReason(Reason::kImageInvalid));
}

}  // namespace
}  // namespace msb::image::tar
