// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/users/user_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class UserDatabaseTest : public testing::Test {
 protected:
  UserDatabaseTest() {
    directory_.Write("passwd",
                     "root:x:0:0:root:/root:/bin/sh\n"
                     "broken line\n"
                     "bad:x:notanumber:1::/:/bin/sh\n"
                     "nobody:x:4294967295:1::/:/bin/sh\n"
                     "app:x:1000:100:App,,,:/home/app:/bin/sh\n"
                     "12:x:500:500::/home/twelve:/bin/sh\n"
                     "app:x:2000:200:later:/else:/bin/sh");
    directory_.Write("group",
                     "root:x:0:\nusers:x:100:\nwheel:x:10:root,app\ndocker:x:999:app,\n"
                     "short\nwheel:x:11:app\n");
  }
  TempDir directory_;
  UserDatabase users_{directory_.path()};
};

TEST_F(UserDatabaseTest, NobodyInParticularIsRootWithoutGroups) {
  ASSERT_OK_AND_ASSIGN(const Identity root, users_.Resolve(""));
  EXPECT_EQ(root.uid, 0u);
  EXPECT_EQ(root.name, "root");
  EXPECT_EQ(root.home, "/root");
  EXPECT_THAT(root.groups, IsEmpty());
}

TEST_F(UserDatabaseTest, AUserHasItsFirstEntryAndAllItsGroups) {
  ASSERT_OK_AND_ASSIGN(const Identity app, users_.Resolve("app"));
  EXPECT_EQ(app.uid, 1000u);
  EXPECT_EQ(app.gid, 100u);
  EXPECT_EQ(app.home, "/home/app");
  EXPECT_THAT(app.groups, ElementsAre(100, 10, 999, 11));
}

TEST_F(UserDatabaseTest, ANumberFindsItsEntryAndNeedsNone) {
  ASSERT_OK_AND_ASSIGN(const Identity app, users_.Resolve("1000"));
  EXPECT_EQ(app.name, "app");
  EXPECT_THAT(app.groups, ElementsAre(100, 10, 999, 11));
  ASSERT_OK_AND_ASSIGN(const Identity unknown, users_.Resolve("4321"));
  EXPECT_EQ(unknown.uid, 4321u);
  EXPECT_EQ(unknown.gid, 0u);
  EXPECT_EQ(unknown.name, "");
  EXPECT_EQ(unknown.home, "/");
  EXPECT_THAT(unknown.groups, IsEmpty());
}

TEST_F(UserDatabaseTest, ANameWinsOverANumber) {
  ASSERT_OK_AND_ASSIGN(const Identity twelve, users_.Resolve("12"));
  EXPECT_EQ(twelve.uid, 500u);
}

TEST_F(UserDatabaseTest, AGroupThatIsGivenReplacesTheOthers) {
  ASSERT_OK_AND_ASSIGN(const Identity named, users_.Resolve("app:docker"));
  EXPECT_EQ(named.gid, 999u);
  EXPECT_THAT(named.groups, IsEmpty());
  ASSERT_OK_AND_ASSIGN(const Identity numbered, users_.Resolve("7:8"));
  EXPECT_EQ(numbered.uid, 7u);
  EXPECT_EQ(numbered.gid, 8u);
  ASSERT_OK_AND_ASSIGN(const Identity group_alone, users_.Resolve(":wheel"));
  EXPECT_EQ(group_alone.uid, 0u);
  EXPECT_EQ(group_alone.gid, 10u);
}

TEST_F(UserDatabaseTest, RefusesWhatNeitherFileKnows) {
  for (const char* user : {"ghost", "bad", "nobody", "app:ghost", "-1", "+5", "4294967295",
                           "99999999999", "1 ", "broken line"}) {
    EXPECT_THAT(users_.Resolve(user), HasReason(Reason::kUserNotFound)) << user;
  }
}

TEST_F(UserDatabaseTest, SeesAFileThatHasChanged) {
  EXPECT_THAT(users_.Resolve("new"), HasReason(Reason::kUserNotFound));
  directory_.Write("passwd", "new:x:5:5::/new:/bin/sh\n");
  ASSERT_OK_AND_ASSIGN(const Identity added, users_.Resolve("new"));
  EXPECT_EQ(added.uid, 5u);
}

TEST_F(UserDatabaseTest, WorksWithoutTheFiles) {
  TempDir empty;
  UserDatabase users(empty.path());
  ASSERT_OK_AND_ASSIGN(const Identity root, users.Resolve(""));
  EXPECT_EQ(root.uid, 0u);
  EXPECT_EQ(root.home, "/");
  EXPECT_THAT(users.Resolve("root"), HasReason(Reason::kUserNotFound));
  EXPECT_EQ(users.UserName(0), "");
}

TEST_F(UserDatabaseTest, NamesUsersAndGroups) {
  EXPECT_EQ(users_.UserName(1000), "app");
  EXPECT_EQ(users_.UserName(31), "");
  EXPECT_EQ(users_.GroupName(10), "wheel");
}

TEST_F(UserDatabaseTest, ReadsNoMoreThanItsLimit) {
  directory_.Write("passwd", std::string(UserDatabase::kMaxFileBytes, 'x') + "\nlate:x:1:1::/:/\n");
  EXPECT_THAT(users_.Resolve("late"), HasReason(Reason::kUserNotFound));
}

}  // namespace
}  // namespace msb
