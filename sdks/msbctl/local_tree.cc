// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "sdks/msbctl/local_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/served_file_systems.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unsized_file.h"

namespace msb {
namespace {

constexpr size_t kChunkBytes = 256 << 10;
constexpr mode_t kPermissionBits = 0777;

// Entry `name` of the directory `parent`, as `path` of the tree.
struct Place {
  int parent;
  std::string name;
  std::string path;
  bool is_top() const { return path.empty(); }
};

absl::StatusOr<msb::v1::TreeEntry> Describe(const Place& place) {
  const auto& [parent, name, path] = place;
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("stat ", name), [&] {
                        return ::fstatat(parent, name.c_str(), &info,
                                         place.is_top() ? 0 : AT_SYMLINK_NOFOLLOW);
                      }).status());
  msb::v1::TreeEntry entry;
  entry.set_path(path);
  entry.set_mode(info.st_mode & 07777);
  entry.set_uid(info.st_uid);
  entry.set_gid(info.st_gid);
  entry.mutable_modified_at()->set_seconds(info.st_mtim.tv_sec);
  entry.mutable_modified_at()->set_nanos(static_cast<int32_t>(info.st_mtim.tv_nsec));
  entry.set_type(msb::v1::FILE_TYPE_OTHER);
  if (S_ISREG(info.st_mode)) {
    entry.set_type(msb::v1::FILE_TYPE_REGULAR);
    entry.set_size(static_cast<uint64_t>(info.st_size));
  } else if (S_ISDIR(info.st_mode)) {
    entry.set_type(msb::v1::FILE_TYPE_DIRECTORY);
  } else if (S_ISLNK(info.st_mode)) {
    entry.set_type(msb::v1::FILE_TYPE_SYMLINK);
    std::string target(4096, '\0');
    MSB_ASSIGN_OR_RETURN(const ssize_t length, Syscall(absl::StrCat("readlink ", name), [&] {
                           return ::readlinkat(parent, name.c_str(), target.data(), target.size());
                         }));
    entry.set_symlink_target(target.substr(0, static_cast<size_t>(length)));
  }
  return entry;
}

absl::Status EndedByReceiver() { return absl::CancelledError("the receiver ended the transfer"); }

// One string for all that is read: to clear a new one costs as much as to read into it.
class TreeReader {
 public:
  TreeReader(const EntrySink& entry_sink, const DataSink& data_sink)
      : entry_sink_(entry_sink), data_sink_(data_sink) {}

  absl::Status Read(const Place& place) {
    MSB_ASSIGN_OR_RETURN(msb::v1::TreeEntry entry, Describe(place));
    if (entry.type() == msb::v1::FILE_TYPE_OTHER) return absl::OkStatus();
    if (entry.type() == msb::v1::FILE_TYPE_SYMLINK) {
      return entry_sink_(entry) ? absl::OkStatus() : EndedByReceiver();
    }
    const int follow = place.is_top() ? 0 : O_NOFOLLOW;
    MSB_ASSIGN_OR_RETURN(const int raw, Syscall(absl::StrCat("open ", place.name), [&] {
                           return ::openat(place.parent, place.name.c_str(),
                                           O_RDONLY | O_CLOEXEC | O_NONBLOCK | follow);
                         }));
    UniqueFd fd(raw);
    if (place.is_top()) is_made_up_ = !IsServedFileSystem(raw);
    const bool is_file = entry.type() == msb::v1::FILE_TYPE_REGULAR;
    if (is_file && data_sink_ != nullptr && (entry.size() == 0 || is_made_up_)) {
      return ReadUnsizedContent(raw, place, std::move(entry));
    }
    if (!entry_sink_(entry)) return EndedByReceiver();
    if (!is_file) {
      // proc and its like have files without end; a tree that holds such a mount goes without its
      // inside, and one that begins there is its first level.
      const bool is_inside = !place.is_top() && !IsServedFileSystem(raw);
      return is_inside ? absl::OkStatus() : ReadChildren(place, std::move(fd));
    }
    return data_sink_ == nullptr ? absl::OkStatus() : ReadContent(raw, entry.size());
  }

 private:
  absl::Status ReadChildren(const Place& place, UniqueFd fd) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(::dup(fd.get())), ::closedir);
    if (directory == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("list ", place.name));
    std::vector<std::string> names;
    while (const dirent* child = ::readdir(directory.get())) names.emplace_back(child->d_name);
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      if (name == "." || name == "..") continue;
      MSB_RETURN_IF_ERROR(
          Read({fd.get(), name, place.is_top() ? name : absl::StrCat(place.path, "/", name)}));
    }
    return absl::OkStatus();
  }

  absl::Status ReadUnsizedContent(int fd, const Place& place, msb::v1::TreeEntry entry) {
    const std::optional<std::string> content = ReadUnsized(fd);
    if (!content && errno == EFBIG) {
      return MakeError(Reason::kLimitExceeded, absl::StrCat(place.name, " ", kUnsizedIsTooLarge));
    }
    if (!content) return absl::ErrnoToStatus(errno, absl::StrCat("read ", place.name));
    entry.set_size(content->size());
    if (!entry_sink_(entry)) return EndedByReceiver();
    for (size_t at = 0; at < content->size(); at += kChunkBytes) {
      chunk_.assign(*content, at, kChunkBytes);
      if (!data_sink_(chunk_)) return EndedByReceiver();
    }
    return absl::OkStatus();
  }

  absl::Status ReadContent(int fd, uint64_t size) {
    for (uint64_t left = size; left > 0;) {
      chunk_.resize(std::min<uint64_t>(left, kChunkBytes));
      MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall("read", [&] {
                             return ::read(fd, chunk_.data(), chunk_.size());
                           }));
      if (got > 0) {
        chunk_.resize(static_cast<size_t>(got));
      } else {
        chunk_.assign(chunk_.size(), '\0');
      }
      left -= chunk_.size();
      if (!data_sink_(chunk_)) return EndedByReceiver();
    }
    return absl::OkStatus();
  }

  const EntrySink& entry_sink_;
  const DataSink& data_sink_;
  bool is_made_up_ = false;  // by the kernel: the top, and with it what is below
  std::string chunk_;
};

timespec TimeOf(const msb::v1::TreeEntry& entry) {
  return {.tv_sec = entry.modified_at().seconds(), .tv_nsec = entry.modified_at().nanos()};
}

void SetTime(int fd, const msb::v1::TreeEntry& entry) {
  const timespec times[] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, TimeOf(entry)};
  ::futimens(fd, times);  // a file system without times is no reason to fail
}

absl::Status CheckPath(const std::string& path) {
  const auto refuse = [&](absl::string_view why) {
    return MakeError(Reason::kPathInvalid,
                     absl::StrCat("the sandbox sent a name that is refused (", why, "): ", path));
  };
  if (path.find('\0') != std::string::npos) return refuse("NUL");
  if (!path.empty() && path.front() == '/') return refuse("absolute");
  for (size_t start = 0; start < path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return refuse("not a plain name");
    start = end + 1;
  }
  return absl::OkStatus();
}

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

absl::Status ReadLocalTree(const std::string& top, const EntrySink& entry, const DataSink& data) {
  return TreeReader(entry, data).Read({AT_FDCWD, top, ""});
}

absl::Status ReadLocalFile(int fd, const std::string& path, const DataSink& data) {
  std::string chunk;
  while (true) {
    chunk.resize(kChunkBytes);
    MSB_ASSIGN_OR_RETURN(const ssize_t got, Syscall(absl::StrCat("read ", path), [&] {
                           return ::read(fd, chunk.data(), chunk.size());
                         }));
    if (got == 0) return absl::OkStatus();
    chunk.resize(static_cast<size_t>(got));
    if (!data(chunk)) return EndedByReceiver();
  }
}

uint64_t LocalTreeBytes(const std::string& top) {
  uint64_t total = 0;
  const EntrySink add = [&](const msb::v1::TreeEntry& entry) {
    total += entry.size();
    return true;
  };
  ReadLocalTree(top, add, nullptr).IgnoreError();
  return total;
}

absl::StatusOr<UniqueFd> LocalTreeWriter::OpenParent(const std::string& path) const {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash);
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  MSB_ASSIGN_OR_RETURN(const long fd, Syscall(absl::StrCat("open ", parent), [&] {
                         return ::syscall(SYS_openat2, root_.get(), parent.c_str(), &how,
                                          sizeof(how));
                       }));
  return UniqueFd(static_cast<int>(fd));
}

absl::Status LocalTreeWriter::Entry(const msb::v1::TreeEntry& entry) {
  MSB_RETURN_IF_ERROR(CloseFile());
  MSB_RETURN_IF_ERROR(CheckPath(entry.path()));
  current_ = entry;
  left_ = entry.type() == msb::v1::FILE_TYPE_REGULAR ? entry.size() : 0;
  const bool is_top = entry.path().empty();
  // One top, and first: a second could be a symlink, for what follows to go through it.
  if (is_top == has_top_) {
    return MakeError(Reason::kAgentProtocol, "the sandbox sent a tree without a top, or with two");
  }
  has_top_ = true;
  return is_top ? WriteTop(entry) : WriteBelow(entry);
}

absl::Status LocalTreeWriter::WriteTop(const msb::v1::TreeEntry& entry) {
  if (entry.type() == msb::v1::FILE_TYPE_REGULAR) {
    MSB_ASSIGN_OR_RETURN(file_, LocalFile::Open(top_));
    return absl::OkStatus();
  }
  if (entry.type() != msb::v1::FILE_TYPE_DIRECTORY) {
    return MakeError(Reason::kAgentProtocol,
                     "the sandbox sent a tree whose top is no file and no directory");
  }
  if (::mkdir(top_.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("make ", top_));
  }
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall(absl::StrCat("open ", top_), [&] {
                         return ::open(top_.c_str(),
                                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                       }));
  root_ = UniqueFd(fd);
  directories_.push_back(entry);
  return absl::OkStatus();
}

absl::Status LocalTreeWriter::WriteBelow(const msb::v1::TreeEntry& entry) {
  if (!root_.valid()) {
    return MakeError(Reason::kAgentProtocol, "the sandbox sent an entry below a file");
  }
  MSB_ASSIGN_OR_RETURN(UniqueFd parent, OpenParent(entry.path()));
  const std::string name = BaseName(entry.path());
  switch (entry.type()) {
    case msb::v1::FILE_TYPE_DIRECTORY:
      if (::mkdirat(parent.get(), name.c_str(), 0700) != 0 && errno != EEXIST) {
        return absl::ErrnoToStatus(errno, absl::StrCat("make ", entry.path()));
      }
      directories_.push_back(entry);
      return absl::OkStatus();
    case msb::v1::FILE_TYPE_SYMLINK: {
      ::unlinkat(parent.get(), name.c_str(), 0);
      MSB_RETURN_IF_ERROR(Syscall(absl::StrCat("symlink ", entry.path()), [&] {
                            return ::symlinkat(entry.symlink_target().c_str(), parent.get(),
                                               name.c_str());
                          }).status());
      const timespec times[] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, TimeOf(entry)};
      ::utimensat(parent.get(), name.c_str(), times, AT_SYMLINK_NOFOLLOW);
      return absl::OkStatus();
    }
    case msb::v1::FILE_TYPE_REGULAR: {
      MSB_ASSIGN_OR_RETURN(file_, LocalFile::Replace(std::move(parent), name));
      return absl::OkStatus();
    }
    default:
      return MakeError(Reason::kAgentProtocol, "the sandbox sent an entry of no known type");
  }
}

absl::Status LocalTreeWriter::Data(absl::string_view data) {
  if (file_ == nullptr || data.size() > left_) {
    return MakeError(Reason::kAgentProtocol, "the sandbox sent more content than it announced");
  }
  left_ -= data.size();
  return file_->Write(data);
}

absl::Status LocalTreeWriter::CloseFile() {
  if (file_ == nullptr) return absl::OkStatus();
  if (left_ > 0) {
    return MakeError(Reason::kAgentProtocol, "the sandbox sent less content than it announced");
  }
  MSB_RETURN_IF_ERROR(file_->Commit(current_.mode() & kPermissionBits, TimeOf(current_)));
  file_.reset();
  return absl::OkStatus();
}

absl::Status LocalTreeWriter::Finish() {
  MSB_RETURN_IF_ERROR(CloseFile());
  if (!has_top_) {
    return MakeError(Reason::kAgentProtocol,
                     "the sandbox sent nothing: what is there is no file, directory or symlink");
  }
  // Children first: a directory that is closed to writing would not take them.
  for (auto entry = directories_.rbegin(); entry != directories_.rend(); ++entry) {
    UniqueFd parent;
    if (!entry->path().empty()) {
      MSB_ASSIGN_OR_RETURN(parent, OpenParent(entry->path()));
    }
    const int at = entry->path().empty() ? root_.get() : parent.get();
    const std::string name = entry->path().empty() ? "." : BaseName(entry->path());
    UniqueFd directory(::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory.valid()) continue;
    ::fchmod(directory.get(), entry->mode() & kPermissionBits);
    SetTime(directory.get(), *entry);
  }
  return absl::OkStatus();
}

}  // namespace msb
