// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// SQLite behind absl::Status: a connection, and statements with typed columns. Errors are
// kJournalError.

#ifndef MSB_SUPERVISOR_STORE_DATABASE_H_
#define MSB_SUPERVISOR_STORE_DATABASE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

struct sqlite3;
struct sqlite3_stmt;

namespace msb {

// One prepared statement. Parameters and columns are counted from 1 and from 0, as SQLite does.
// Threading: as its Database.
class Statement {
 public:
  Statement& Bind(int parameter, int64_t value);
  Statement& Bind(int parameter, absl::string_view text);
  Statement& BindBlob(int parameter, absl::string_view bytes);

  // True when there is a row to read; false at the end. Bound values stay.
  absl::StatusOr<bool> Step();
  // Runs a statement that has no rows, and readies it for the next use.
  absl::Status Run();

  int64_t Integer(int column) const;
  std::string Text(int column) const;
  std::string Blob(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(sqlite3* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}

  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// Threading: one thread at a time.
class Database {
 public:
  // Opens or makes the file, in WAL mode: a crash of the daemon loses nothing, a crash of the host
  // at most the last transactions, of sandboxes that died with it. The log has its room on the disk
  // from then on, so that rows can be changed and deleted when that is full.
  static absl::StatusOr<Database> Open(const std::string& path);

  absl::Status Execute(const std::string& sql);
  absl::StatusOr<Statement> Prepare(absl::string_view sql);

 private:
  struct CloseHandle {
    void operator()(sqlite3* database) const;
  };
  explicit Database(sqlite3* handle) : handle_(handle) {}

  std::unique_ptr<sqlite3, CloseHandle> handle_;
};

// Brings the database to this version's schema. Each step leads from the version of its index
// (PRAGMA user_version) to the next; one that was released never changes. A database of a newer
// version is refused and left alone.
absl::Status Migrate(Database& database, absl::Span<const absl::string_view> steps);

}  // namespace msb

#endif  // MSB_SUPERVISOR_STORE_DATABASE_H_
