// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/boot/kernel_loader.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/guests/memory_file.h"
#include "tests/support/matchers.h"

namespace msb {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;
constexpr uint64_t kPage = 4096;

// A kernel of two segments, whose fields a test may bend.
struct Image {
  Elf64_Ehdr header{};
  Elf64_Phdr segments[2]{};
  std::string content;  // from file offset kPage on

  Image() {
    std::copy_n(ELFMAG, SELFMAG, header.e_ident);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_entry = kMebibyte + 0x10;
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    // Two pages and a bit, then .bss; and a second one that stands before it in the file's order.
    segments[1] = {.p_type = PT_LOAD,
                   .p_offset = kPage,
                   .p_paddr = kMebibyte,
                   .p_filesz = 2 * kPage + 100,
                   .p_memsz = 5 * kPage};
    segments[0] = {.p_type = PT_LOAD,
                   .p_offset = 4 * kPage + 7,
                   .p_paddr = 2 * kMebibyte,
                   .p_filesz = 50,
                   .p_memsz = 50};
    for (uint64_t i = 0; i < 4 * kPage; ++i) content.push_back(static_cast<char>('a' + i % 23));
  }

  UniqueFd File() const {
    std::string file(reinterpret_cast<const char*>(&header), sizeof(header));
    file.append(reinterpret_cast<const char*>(segments), sizeof(segments));
    file.resize(kPage);
    return MemoryFile(file + content);
  }
  std::string Content(const Elf64_Phdr& segment) const {
    return content.substr(segment.p_offset - kPage, segment.p_filesz);
  }
};

GuestMemory Memory(uint64_t mebibytes) {
  const std::vector<GuestRange> ranges = {{GuestAddress{0}, mebibytes * kMebibyte}};
  return *GuestMemory::Allocate(ranges);
}

std::string Bytes(const GuestMemory& memory, uint64_t address, uint64_t size) {
  const auto bytes = memory.Bytes({GuestAddress{address}, size});
  return bytes.ok() ? std::string(bytes->begin(), bytes->end()) : "";
}

class KernelLoaderTest : public ::testing::TestWithParam<FilePlacement> {};
INSTANTIATE_TEST_SUITE_P(Placement, KernelLoaderTest,
                         ::testing::Values(FilePlacement::kMap, FilePlacement::kCopy));

TEST_P(KernelLoaderTest, PutsSegmentsWhereTheirHeadersSay) {
  const Image image;
  const GuestMemory memory = Memory(4);
  ASSERT_OK_AND_ASSIGN(const LoadedKernel kernel,
                       LoadKernel(image.File().get(), memory, GetParam()));

  EXPECT_EQ(ToUint64(kernel.entry), kMebibyte + 0x10);
  EXPECT_EQ(kernel.end, 2 * kMebibyte + 50);
  EXPECT_EQ(Bytes(memory, kMebibyte, 2 * kPage + 100), image.Content(image.segments[1]));
  EXPECT_EQ(Bytes(memory, kMebibyte + 2 * kPage + 100, 3 * kPage - 100),
            std::string(3 * kPage - 100, '\0'));
  EXPECT_EQ(Bytes(memory, 2 * kMebibyte, 50), image.Content(image.segments[0]));
}

TEST_P(KernelLoaderTest, AWriteOfTheGuestStaysOutOfTheFile) {
  const Image image;
  const UniqueFd file = image.File();
  const GuestMemory first = Memory(4);
  ASSERT_OK(LoadKernel(file.get(), first, GetParam()));
  ASSERT_OK(first.Store(GuestAddress{kMebibyte}, uint64_t{0}));

  const GuestMemory second = Memory(4);
  ASSERT_OK(LoadKernel(file.get(), second, GetParam()));
  EXPECT_EQ(Bytes(second, kMebibyte, 8), image.content.substr(0, 8));
}

struct BadImage {
  const char* name;
  std::function<void(Image&)> bend;
  Reason reason;
};

class HostileKernelTest : public ::testing::TestWithParam<BadImage> {};

TEST_P(HostileKernelTest, IsRefused) {
  Image image;
  GetParam().bend(image);
  const GuestMemory memory = Memory(4);
  EXPECT_THAT(LoadKernel(image.File().get(), memory, FilePlacement::kMap),
              HasReason(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, HostileKernelTest,
    ::testing::Values(
        BadImage{"Magic", [](Image& i) { i.header.e_ident[1] = 'L'; }, Reason::kKernelInvalid},
        BadImage{"Class", [](Image& i) { i.header.e_ident[EI_CLASS] = ELFCLASS32; },
                 Reason::kKernelWrongMachine},
        BadImage{"Endian", [](Image& i) { i.header.e_ident[EI_DATA] = ELFDATA2MSB; },
                 Reason::kKernelWrongMachine},
        BadImage{"Machine", [](Image& i) { i.header.e_machine = EM_AARCH64; },
                 Reason::kKernelWrongMachine},
        BadImage{"Version", [](Image& i) { i.header.e_version = 2; }, Reason::kKernelInvalid},
        BadImage{"Type", [](Image& i) { i.header.e_type = ET_REL; }, Reason::kKernelInvalid},
        BadImage{"HeaderSize", [](Image& i) { i.header.e_phentsize = 55; }, Reason::kKernelInvalid},
        BadImage{"NoHeaders", [](Image& i) { i.header.e_phnum = 0; }, Reason::kKernelInvalid},
        BadImage{"ManyHeaders", [](Image& i) { i.header.e_phnum = 65; }, Reason::kKernelInvalid},
        BadImage{"HeadersBeyondFile", [](Image& i) { i.header.e_phoff = 5 * kPage - 100; },
                 Reason::kKernelInvalid},
        BadImage{"HeadersWrap", [](Image& i) { i.header.e_phoff = UINT64_MAX - 8; },
                 Reason::kKernelInvalid},
        BadImage{"NothingToLoad",
                 [](Image& i) { i.segments[0].p_type = i.segments[1].p_type = PT_NOTE; },
                 Reason::kKernelInvalid},
        BadImage{"FileLargerThanMemory", [](Image& i) { i.segments[1].p_memsz = 10; },
                 Reason::kKernelInvalid},
        BadImage{"SegmentBeyondFile", [](Image& i) { i.segments[1].p_offset = 4 * kPage; },
                 Reason::kKernelInvalid},
        BadImage{"SegmentOffsetWraps", [](Image& i) { i.segments[1].p_offset = UINT64_MAX - 1; },
                 Reason::kKernelInvalid},
        BadImage{"FirstMebibyte", [](Image& i) { i.segments[1].p_paddr = 0x7000; },
                 Reason::kKernelInvalid},
        BadImage{"Overlap", [](Image& i) { i.segments[0].p_paddr = kMebibyte + kPage; },
                 Reason::kKernelInvalid},
        BadImage{"BeyondRam", [](Image& i) { i.segments[0].p_paddr = 4 * kMebibyte - 49; },
                 Reason::kKernelTooLarge},
        BadImage{"AddressWraps", [](Image& i) { i.segments[0].p_paddr = UINT64_MAX - 10; },
                 Reason::kKernelTooLarge},
        BadImage{"MemoryWraps", [](Image& i) { i.segments[0].p_memsz = UINT64_MAX; },
                 Reason::kKernelTooLarge},
        BadImage{"EntryOutside", [](Image& i) { i.header.e_entry = 3 * kMebibyte; },
                 Reason::kKernelInvalid},
        BadImage{"EntryInBss", [](Image& i) { i.header.e_entry = kMebibyte + 4 * kPage; },
                 Reason::kKernelInvalid}),
    [](const auto& test) { return test.param.name; });

TEST(KernelLoaderFileTest, RefusesWhatIsNoKernel) {
  const GuestMemory memory = Memory(4);
  EXPECT_THAT(LoadKernel(MemoryFile("").get(), memory, FilePlacement::kMap),
              HasReason(Reason::kKernelInvalid));
  EXPECT_THAT(LoadKernel(MemoryFile(std::string(4096, 'x')).get(), memory, FilePlacement::kMap),
              HasReason(Reason::kKernelInvalid));
  EXPECT_THAT(LoadKernel(-1, memory, FilePlacement::kMap), HasReason(Reason::kHostError));
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const UniqueFd reader(pipe[0]), writer(pipe[1]);
  EXPECT_THAT(LoadKernel(reader.get(), memory, FilePlacement::kMap),
              HasReason(Reason::kKernelInvalid));
}

}  // namespace
}  // namespace msb
