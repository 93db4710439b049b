// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// File operations of the fake agent, on this host's files and without any identity.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/frames.h"
#include "tests/support/supervisor/fake_agent.h"

namespace msb {
namespace {

namespace fs = std::filesystem;
using msb::agent::v1::AgentFrame;
using msb::agent::v1::HostFrame;

constexpr size_t kChunkBytes = 256 * 1024;

void SendDone(FakeConnection& connection, uint64_t bytes = 0, uint64_t entries = 0) {
  AgentFrame frame;
  frame.mutable_done()->set_bytes(bytes);
  frame.mutable_done()->set_entries(entries);
  connection.Send(frame);
}

void SendOpened(FakeConnection& connection) {
  AgentFrame frame;
  frame.mutable_opened();
  connection.Send(frame);
}

// `ok`: the operation's outcome, with errno behind it.
void SendOutcome(FakeConnection& connection, bool ok) {
  if (ok) return SendDone(connection);
  const Reason reason = errno == ENOENT      ? Reason::kFileNotFound
                        : errno == EEXIST    ? Reason::kFileExists
                        : errno == ENOTEMPTY ? Reason::kDirectoryNotEmpty
                                             : Reason::kFileError;
  connection.SendError(static_cast<int>(reason), "the fake's file system");
}

std::optional<AgentFrame> Describe(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
  AgentFrame frame;
  auto& file = *frame.mutable_file_info();
  file.set_name(fs::path(path).filename().string());
  file.set_path(path);
  file.set_type(S_ISDIR(info.st_mode)   ? msb::agent::v1::FILE_TYPE_DIRECTORY
                : S_ISREG(info.st_mode) ? msb::agent::v1::FILE_TYPE_REGULAR
                : S_ISLNK(info.st_mode) ? msb::agent::v1::FILE_TYPE_SYMLINK
                                        : msb::agent::v1::FILE_TYPE_OTHER);
  file.set_size(static_cast<uint64_t>(info.st_size));
  file.set_mode(info.st_mode & 07777);
  file.set_mtime_ns(info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec);
  return frame;
}

uint64_t SendContent(FakeConnection& connection, const std::string& path, uint64_t offset) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  uint64_t bytes = 0;
  while (true) {
    std::string chunk(kChunkBytes, '\0');
    file.read(chunk.data(), kChunkBytes);
    chunk.resize(static_cast<size_t>(file.gcount()));
    if (chunk.empty()) return bytes;
    bytes += chunk.size();
    AgentFrame frame;
    frame.set_data(std::move(chunk));
    if (!connection.Send(frame)) return bytes;
  }
}

std::optional<HostFrame> Receive(FakeConnection& connection) {
  const auto payload = ReadFrame(connection.fd(), absl::InfiniteFuture());
  HostFrame frame;
  if (!payload.ok() || !*payload || !frame.ParseFromString(**payload)) return std::nullopt;
  return frame;
}

void WriteOneFile(FakeConnection& connection, const msb::agent::v1::WriteFile& write) {
  const std::string part = write.path() + ".part";
  std::ofstream file(part, std::ios::binary);
  if (!file) {
    errno = ENOENT;
    return SendOutcome(connection, false);
  }
  SendOpened(connection);
  uint64_t bytes = 0;
  while (const auto frame = Receive(connection)) {
    if (frame->has_end()) {
      file.close();
      ::rename(part.c_str(), write.path().c_str());
      return SendDone(connection, bytes);
    }
    file << frame->data();
    bytes += frame->data().size();
  }
  ::unlink(part.c_str());  // the host went away: the old content stands
}

void ReadTree(FakeConnection& connection, const std::string& top) {
  std::vector<fs::path> paths = {top};
  for (const auto& entry : fs::recursive_directory_iterator(top)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  uint64_t bytes = 0;
  for (const fs::path& path : paths) {
    const auto info = Describe(path);
    AgentFrame frame;
    auto& entry = *frame.mutable_tree_entry();
    const std::string relative = fs::relative(path, top).string();
    entry.set_path(relative == "." ? "" : relative);
    entry.set_type(info->file_info().type());
    entry.set_mode(info->file_info().mode());
    if (entry.type() == msb::agent::v1::FILE_TYPE_REGULAR) {
      entry.set_size(info->file_info().size());
    }
    connection.Send(frame);
    if (entry.type() == msb::agent::v1::FILE_TYPE_REGULAR) {
      bytes += SendContent(connection, path, 0);
    }
  }
  SendDone(connection, bytes, paths.size());
}

void WriteTree(FakeConnection& connection, const std::string& top) {
  SendOpened(connection);
  std::ofstream file;
  uint64_t bytes = 0, entries = 0;
  while (const auto frame = Receive(connection)) {
    if (frame->has_end()) {
      file.close();
      return SendDone(connection, bytes, entries);
    }
    if (frame->has_tree_entry()) {
      ++entries;
      const std::string path = top + "/" + frame->tree_entry().path();
      if (frame->tree_entry().type() == msb::agent::v1::FILE_TYPE_DIRECTORY) {
        fs::create_directories(path);
      } else {
        file = std::ofstream(path, std::ios::binary);
      }
      continue;
    }
    file << frame->data();
    bytes += frame->data().size();
  }
}

void List(FakeConnection& connection, const std::string& path) {
  std::error_code error;
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(path, error)) paths.push_back(entry.path());
  errno = error.value();
  if (error) return SendOutcome(connection, false);
  std::sort(paths.begin(), paths.end());
  for (const std::string& entry : paths) connection.Send(*Describe(entry));
  SendDone(connection, 0, paths.size());
}

// One event of each file that the directory has, then what the host does.
void Watch(FakeConnection& connection, const std::string& path) {
  SendOpened(connection);
  for (const auto& entry : fs::directory_iterator(path)) {
    AgentFrame frame;
    frame.mutable_watch_event()->set_kind(msb::agent::v1::WatchEvent::KIND_CREATED);
    frame.mutable_watch_event()->set_path(entry.path());
    connection.Send(frame);
  }
  while (Receive(connection)) {
  }
}

}  // namespace

bool ServeFakeFiles(FakeConnection& connection, const msb::agent::v1::Open& open) {
  if (open.has_stat()) {
    const auto info = Describe(open.stat().path());
    if (info) connection.Send(*info);
    SendOutcome(connection, info.has_value());
  } else if (open.has_read_file()) {
    const auto info = Describe(open.read_file().path());
    if (!info) {
      SendOutcome(connection, false);
      return true;
    }
    SendDone(connection,
             SendContent(connection, open.read_file().path(), open.read_file().offset()));
  } else if (open.has_write_file()) {
    WriteOneFile(connection, open.write_file());
  } else if (open.has_list_directory()) {
    List(connection, open.list_directory().path());
  } else if (open.has_make_directory()) {
    SendOutcome(connection, ::mkdir(open.make_directory().path().c_str(), 0755) == 0);
  } else if (open.has_remove()) {
    SendOutcome(connection, ::remove(open.remove().path().c_str()) == 0);
  } else if (open.has_rename()) {
    SendOutcome(connection,
                ::rename(open.rename().from().c_str(), open.rename().to().c_str()) == 0);
  } else if (open.has_read_tree()) {
    ReadTree(connection, open.read_tree().path());
  } else if (open.has_write_tree()) {
    WriteTree(connection, open.write_tree().path());
  } else if (open.has_watch()) {
    Watch(connection, open.watch().path());
  } else {
    return false;
  }
  return true;
}

}  // namespace msb
