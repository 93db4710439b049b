// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unique_fd.h"

namespace msb {
namespace {

absl::Status JournalError(sqlite3* database, absl::string_view what) {
  return MakeError(Reason::kJournalError,
                   absl::StrCat(what, ": ", ::sqlite3_errmsg(database), " (SQLite ",
                                ::sqlite3_extended_errcode(database), ")"));
}

// As much as the log grows to between two checkpoints (SQLite's 1000 pages, with their heads).
constexpr off_t kLogBytes = 5 << 20;

// On a full disk the daemon must be able to note that what fills it is removed: the log has its
// blocks from the beginning, and is written over and over. So it is on ext4 and XFS; one that
// copies on write (Btrfs, ZFS) takes a new block for what is written over, and may refuse it.
// Nothing locks the log, which a second descriptor would unlock.
absl::Status ReserveLog(const std::string& path) {
  const std::string log_path = absl::StrCat(path, "-wal");
  MSB_ASSIGN_OR_RETURN(const int raw, Syscall(absl::StrCat("open ", log_path), [&] {
                         return ::open(log_path.c_str(), O_WRONLY | O_CLOEXEC);
                       }));
  const UniqueFd log(raw);
  return Syscall(absl::StrCat("reserve ", log_path),
                 [&] { return ::fallocate(log.get(), FALLOC_FL_KEEP_SIZE, 0, kLogBytes); })
      .status();
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  ::sqlite3_finalize(statement);  // its error is that of the last Step, which was told already
}

Statement& Statement::Bind(int parameter, int64_t value) {
  MSB_CHECK(::sqlite3_bind_int64(statement_.get(), parameter, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(int parameter, absl::string_view text) {
  MSB_CHECK(::sqlite3_bind_text64(statement_.get(), parameter, text.data(), text.size(),
                                  SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK);
  return *this;
}

Statement& Statement::BindBlob(int parameter, absl::string_view bytes) {
  MSB_CHECK(::sqlite3_bind_blob64(statement_.get(), parameter, bytes.data(), bytes.size(),
                                  SQLITE_TRANSIENT) == SQLITE_OK);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int result = ::sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  const absl::Status error = JournalError(database_, "the database");
  ::sqlite3_reset(statement_.get());
  return error;
}

absl::Status Statement::Run() {
  MSB_RETURN_IF_ERROR(Step());
  ::sqlite3_reset(statement_.get());
  return absl::OkStatus();
}

int64_t Statement::Integer(int column) const {
  return ::sqlite3_column_int64(statement_.get(), column);
}

std::string Statement::Text(int column) const { return Blob(column); }

std::string Statement::Blob(int column) const {
  const void* const data = ::sqlite3_column_blob(statement_.get(), column);
  const int size = ::sqlite3_column_bytes(statement_.get(), column);
  if (data == nullptr) return "";
  return std::string(static_cast<const char*>(data), static_cast<size_t>(size));
}

void Database::CloseHandle::operator()(sqlite3* database) const { ::sqlite3_close_v2(database); }

absl::StatusOr<Database> Database::Open(const std::string& path) {
  sqlite3* handle = nullptr;
  const int result =
      ::sqlite3_open_v2(path.c_str(), &handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database(handle);
  if (result != SQLITE_OK) return JournalError(handle, absl::StrCat("cannot open ", path));
  ::sqlite3_extended_result_codes(handle, 1);
  MSB_RETURN_IF_ERROR(database.Execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
      "SELECT 1 FROM sqlite_master;"));  // makes the log
  // Not every file system can; a full one cannot now.
  if (const absl::Status reserved = ReserveLog(path); !reserved.ok()) {
    MSB_LOG(kWarning) << "a full disk may keep the database from changes: " << reserved.message();
  }
  return database;
}

absl::Status Database::Execute(const std::string& sql) {
  if (::sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return JournalError(handle_.get(), "the database");
}

absl::StatusOr<Statement> Database::Prepare(absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (::sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                           SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
    return JournalError(handle_.get(), "the database");
  }
  return Statement(handle_.get(), statement);
}

absl::Status Migrate(Database& database, absl::Span<const absl::string_view> steps) {
  MSB_ASSIGN_OR_RETURN(Statement version_query, database.Prepare("PRAGMA user_version"));
  MSB_RETURN_IF_ERROR(version_query.Step());
  const int64_t version = version_query.Integer(0);
  const auto newest = static_cast<int64_t>(steps.size());
  if (version > newest) {
    return MakeError(
        Reason::kJournalError,
        absl::StrCat("the database is of schema version ", version, ", this daemon knows up to ",
                     newest, "; run the newer daemon again, or use another data_directory"));
  }
  for (int64_t step = version; step < newest; ++step) {
    MSB_RETURN_IF_ERROR(
        database.Execute(absl::StrCat("BEGIN IMMEDIATE;", steps[static_cast<size_t>(step)],
                                      "PRAGMA user_version = ", step + 1, "; COMMIT;")));
  }
  return absl::OkStatus();
}

}  // namespace msb
