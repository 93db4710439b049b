// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>

#include "supervisor/store/data_directory.h"
#include "supervisor/store/database.h"
#include "supervisor/store/ids.h"
#include "supervisor/store/sandbox_store.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

SandboxRecord Example(const std::string& id, const std::string& name, uint32_t slot) {
  SandboxRecord record;
  record.id = id;
  record.slot = slot;
  record.spec.set_name(name);
  record.spec.set_image("default");
  (*record.spec.mutable_env())["A"] = std::string("b\0c", 3);
  record.owner_uid = 4294967295;
  record.state = msb::v1::SANDBOX_STATE_RUNNING;
  record.reason = Reason::kTripleFault;
  record.reason_detail = "rip=0";
  record.engine = msb::v1::ENGINE_KVM;
  record.engine_choice = "measured";
  record.has_disk = true;
  record.has_vmm = true;
  record.pid = 42;
  record.start_time_ticks = 1234567890123;
  record.created_at = absl::FromUnixNanos(1'700'000'000'123'456'789);
  record.start_stages.emplace_back().set_name("jailed");
  record.owner_gid = 100;
  record.owner_groups = {100, 27, 4294967294};
  record.companions = {{.name = "fs-0",
                        .pid = 43,
                        .start_time_ticks = 99,
                        .running = false,
                        .reason = Reason::kCompanionDied,
                        .detail = "code 3"},
                       {.name = "net", .pid = 44, .start_time_ticks = 100}};
  return record;
}

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

TEST(DatabaseTest, ItsLogHasRoomBeforeTheDiskIsFull) {
  const TempDir dir;
  ASSERT_OK_AND_ASSIGN(Database database, Database::Open(dir.path() + "/state.db"));
  struct stat log {};
  ASSERT_EQ(::stat((dir.path() + "/state.db-wal").c_str(), &log), 0);
  EXPECT_GE(log.st_blocks * 512, 4 << 20);
  const blkcnt_t before = log.st_blocks;
  ASSERT_OK(database.Execute("CREATE TABLE rows (a)"));
  ASSERT_OK(database.Execute("INSERT INTO rows VALUES (zeroblob(100000))"));
  ASSERT_EQ(::stat((dir.path() + "/state.db-wal").c_str(), &log), 0);
  EXPECT_GT(log.st_size, 100'000);
  EXPECT_EQ(log.st_blocks, before);
}

TEST(SandboxStoreTest, ARecordComesBackAsItWasWrittenByAnEarlierDaemon) {
  const TempDir dir;
  {
    ASSERT_OK_AND_ASSIGN(SandboxStore store, SandboxStore::Open(dir.path() + "/state.db"));
    SandboxRecord record = Example("a", "one", 3);
    ASSERT_OK(store.Put(record));
    record.state = msb::v1::SANDBOX_STATE_STOPPED;
    ASSERT_OK(store.Put(record));
  }
  ASSERT_OK_AND_ASSIGN(SandboxStore store, SandboxStore::Open(dir.path() + "/state.db"));
  ASSERT_OK_AND_ASSIGN(const auto records, store.LoadAll());
  ASSERT_EQ(records.size(), 1u);
  const SandboxRecord& read = records[0];
  const SandboxRecord written = Example("a", "one", 3);
  EXPECT_EQ(read.id, "a");
  EXPECT_EQ(read.slot, 3u);
  EXPECT_EQ(read.owner_uid, written.owner_uid);
  EXPECT_EQ(read.spec.SerializeAsString(), written.spec.SerializeAsString());
  EXPECT_EQ(read.state, msb::v1::SANDBOX_STATE_STOPPED);
  EXPECT_EQ(read.reason, Reason::kTripleFault);
  EXPECT_EQ(read.reason_detail, "rip=0");
  EXPECT_EQ(read.engine, msb::v1::ENGINE_KVM);
  EXPECT_EQ(read.engine_choice, "measured");
  EXPECT_TRUE(read.has_disk && read.has_vmm && !read.removing);
  EXPECT_EQ(read.pid, 42);
  EXPECT_EQ(read.start_time_ticks, written.start_time_ticks);
  EXPECT_EQ(read.created_at, written.created_at);
  ASSERT_EQ(read.start_stages.size(), 1u);
  EXPECT_EQ(read.start_stages[0].name(), "jailed");
  EXPECT_EQ(read.owner_gid, 100u);
  EXPECT_EQ(read.owner_groups, written.owner_groups);
  ASSERT_EQ(read.companions.size(), 2u);
  EXPECT_EQ(read.companions[0].name, "fs-0");
  EXPECT_FALSE(read.companions[0].running);
  EXPECT_EQ(read.companions[0].reason, Reason::kCompanionDied);
  EXPECT_EQ(read.companions[0].detail, "code 3");
  EXPECT_EQ(read.companions[1].pid, 44);
  EXPECT_EQ(read.companions[1].start_time_ticks, 100u);
  EXPECT_TRUE(read.companions[1].running);
}

TEST(SandboxStoreTest, ADeletedRecordIsGone) {
  const TempDir dir;
  ASSERT_OK_AND_ASSIGN(SandboxStore store, SandboxStore::Open(dir.path() + "/state.db"));
  ASSERT_OK(store.Put(Example("a", "one", 0)));
  ASSERT_OK(store.Put(Example("b", "two", 1)));
  ASSERT_OK(store.Delete("a"));
  ASSERT_OK_AND_ASSIGN(const auto records, store.LoadAll());
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].id, "b");
}

TEST(SandboxStoreTest, ASlotThatIsTakenIsAnErrorAndCostsNobodyTheirRow) {
  const TempDir dir;
  ASSERT_OK_AND_ASSIGN(SandboxStore store, SandboxStore::Open(dir.path() + "/state.db"));
  ASSERT_OK(store.Put(Example("a", "one", 0)));
  EXPECT_THAT(store.Put(Example("b", "two", 0)), HasReason(Reason::kJournalError));
  ASSERT_OK_AND_ASSIGN(const auto records, store.LoadAll());
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].id, "a");
}

TEST(SandboxStoreTest, ADatabaseOfANewerVersionIsRefusedUntouched) {
  const TempDir dir;
  {
    ASSERT_OK_AND_ASSIGN(Database database, Database::Open(dir.path() + "/state.db"));
    ASSERT_OK(database.Execute("PRAGMA user_version = 99"));
  }
  EXPECT_THAT(SandboxStore::Open(dir.path() + "/state.db"), HasReason(Reason::kJournalError));
}

TEST(SandboxStoreTest, AFileThatIsNoDatabaseIsAnError) {
  const TempDir dir;
  dir.Write("state.db", std::string(4096, 'x'));
  EXPECT_THAT(SandboxStore::Open(dir.path() + "/state.db"), HasReason(Reason::kJournalError));
}

TEST(NewIdTest, IsOfTwentyLowerCaseLettersAndDigitsAndNeverTheSame) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewId();
    EXPECT_THAT(id, MatchesRegex("[0-9a-z]+"));
    EXPECT_EQ(id.size(), 20u);
    EXPECT_TRUE(seen.insert(id).second);
  }
}

TEST(DataDirectoryTest, IsMadeForTheDaemonsUserAlone) {
  const TempDir dir;
  const std::string path = dir.path() + "/var/lib/msb";
  ASSERT_OK_AND_ASSIGN(const DataDirectory data, DataDirectory::Open(path));
  EXPECT_EQ(ModeOf(path), 0700u);
  EXPECT_EQ(ModeOf(path + "/sandboxes"), 0700u);
  EXPECT_EQ(ModeOf(dir.path() + "/var"), 0755u);
  EXPECT_EQ(data.DiskOf("abc"), path + "/sandboxes/abc/disk.ext4");
}

TEST(DataDirectoryTest, ASecondDaemonIsToldOfTheFirst) {
  const TempDir dir;
  {
    ASSERT_OK_AND_ASSIGN(const DataDirectory first, DataDirectory::Open(dir.path() + "/d"));
    const auto second = DataDirectory::Open(dir.path() + "/d");
    ASSERT_THAT(second, HasReason(Reason::kConfigInvalid));
    EXPECT_THAT(std::string(second.status().message()),
                HasSubstr("another msbd (pid " + std::to_string(::getpid()) + ")"));
  }
  EXPECT_OK(DataDirectory::Open(dir.path() + "/d"));
}

TEST(RemoveTreeTest, DeletesAllAndToleratesNothing) {
  const TempDir dir;
  ASSERT_OK(EnsureDirectory(dir.path() + "/a/b/c", 0700));
  dir.Write("a/b/file", "x");
  EXPECT_OK(RemoveTree(dir.path() + "/a"));
  EXPECT_OK(RemoveTree(dir.path() + "/a"));
  EXPECT_NE(::access((dir.path() + "/a").c_str(), F_OK), 0);
}

TEST(SandboxStoreTest, AVolumeComesBackAndGoes) {
  const TempDir dir;
  ASSERT_OK_AND_ASSIGN(SandboxStore store, SandboxStore::Open(dir.path() + "/state.db"));
  VolumeRecord record{.name = "data",
                      .state = VolumeRecord::State::kMaking,
                      .size_mib = 64,
                      .owner_uid = 1000,
                      .created_at = absl::FromUnixNanos(7)};
  ASSERT_OK(store.PutVolume(record));
  record.state = VolumeRecord::State::kReady;
  ASSERT_OK(store.PutVolume(record));

  ASSERT_OK_AND_ASSIGN(const auto records, store.LoadVolumes());
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].name, "data");
  EXPECT_EQ(records[0].state, VolumeRecord::State::kReady);
  EXPECT_EQ(records[0].size_mib, 64u);
  EXPECT_EQ(records[0].owner_uid, 1000u);
  EXPECT_EQ(records[0].created_at, absl::FromUnixNanos(7));

  ASSERT_OK(store.DeleteVolume("data"));
  EXPECT_EQ(store.LoadVolumes()->size(), 0u);
}

}  // namespace
}  // namespace msb
