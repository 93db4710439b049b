// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/unix_socket.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

TEST(UnixSocketTest, ConnectsAndCarriesBytes) {
  TempDir dir;
  const std::string path = dir.path() + "/socket";
  ASSERT_OK_AND_ASSIGN(UniqueFd listener, ListenUnix(path));
  ASSERT_OK_AND_ASSIGN(UniqueFd client, ConnectUnix(path, Blocking::kYes));
  ASSERT_OK_AND_ASSIGN(UniqueFd server, AcceptUnix(listener.get(), Blocking::kYes));

  ASSERT_EQ(::write(client.get(), "hi", 2), 2);
  char got[2];
  ASSERT_EQ(::read(server.get(), got, 2), 2);
  EXPECT_EQ(absl::string_view(got, 2), "hi");
}

TEST(UnixSocketTest, TheSocketIsForItsOwnUserOnly) {
  TempDir dir;
  const std::string path = dir.path() + "/socket";
  ASSERT_OK_AND_ASSIGN(UniqueFd listener, ListenUnix(path));
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(UnixSocketTest, ReplacesAStaleSocketButNoOtherFile) {
  TempDir dir;
  const std::string path = dir.path() + "/socket";
  ASSERT_OK_AND_ASSIGN(UniqueFd first, ListenUnix(path));
  EXPECT_OK(ListenUnix(path).status());

  const std::string file = dir.path() + "/file";
  dir.Write("file", "precious");
  EXPECT_FALSE(ListenUnix(file).ok());
  EXPECT_EQ(dir.Read("file"), "precious");
}

TEST(UnixSocketTest, RefusesAPathThatDoesNotFit) {
  EXPECT_EQ(ReasonOf(ListenUnix(std::string(108, 'x')).status()), Reason::kInvalidArgument);
  EXPECT_EQ(ReasonOf(ConnectUnix("", Blocking::kYes).status()), Reason::kInvalidArgument);
}

}  // namespace
}  // namespace msb
