// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What a guest has added to the mounts that have a quota (docs/mounts.md): an account for each file
// that it made, gave a name or made larger.
//
// An account is what the file takes beyond its base, and 4 KiB for each name that the guest gave
// it. The base is nothing where the guest made the file, else what it took before the change. So no
// sum of differences can drift or be played with: a file counts by what it takes now, its account
// ends with it, and nothing that was there before gives anything back. An account that comes to
// nothing is closed: whoever makes an old file smaller and then larger again pays for all of that.
//
// Mounts that show one tree have an account each of a file that is changed through both. No base is
// then larger than another's: what one mount added is not there before for the next, and when the
// first gets it back, whoever makes the file larger after that pays for it.
//
// No system calls. Whoever calls has the turn of the file (file_turns.h) from Begin to End.
//
// Threading: safe.

#ifndef MSB_FILE_SERVER_QUOTA_LEDGER_H_
#define MSB_FILE_SERVER_QUOTA_LEDGER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/numeric/int128.h"
#include "absl/synchronization/mutex.h"
#include "file-server/fuse/errno_or.h"
#include "file-server/quota/file_id.h"

namespace msb {

class Ledger {
 public:
  // Of a name, and with it of an inode: file systems have no endless number of them, and say of few
  // what they take.
  static constexpr int64_t kNameBytes = 4096;
  // In all, some 64 bytes each. Of a table of 2^20 places 25/32 are used, at most, when what was
  // erased in it is cleared away in place: with more it grows to twice as many.
  static constexpr size_t kMaxAccounts = 819'000;
  static_assert(kMaxAccounts < (size_t{1} << 20) / 32 * 25);

  // Bytes by export; 0: without a limit, and not counted.
  explicit Ledger(const std::vector<uint64_t>& limits, size_t max_accounts = kMaxAccounts);

  bool HasLimits() const { return has_limits_; }
  bool Limits(uint32_t export_index) const { return limits_[export_index] != 0; }

  // `file` takes so much, and is about to change.
  void Begin(uint32_t export_index, FileId file, int64_t taken);
  // Room for it to take `most`, and for `beside` more that is no file's yet; what was set aside for
  // both. EDQUOT.
  ErrnoOr<int64_t> Reserve(uint32_t export_index, FileId file, int64_t most, int64_t beside);
  // It takes so much now; `reserved` is not needed any more.
  void End(uint32_t export_index, FileId file, int64_t taken, int64_t reserved);
  // EDQUOT for what is over its limit already.
  Errno CheckWithin(uint32_t export_index) const;

  // The guest made `file`. Whoever calls has its turn.
  void AddFile(uint32_t export_index, FileId file, int64_t taken);
  // The guest gave another name to `file`, between its Begin and End.
  void AddName(uint32_t export_index, FileId file);
  // The guest made a name, and nobody knows of what: it counts for ever.
  void AddUnknown(uint32_t export_index);

  enum class Remains { kNamed, kNothing };
  // `file` has lost a name. When nothing remains, what it takes comes back with its last holder.
  void RemoveName(uint32_t export_index, FileId file, Remains remains);

  // Descriptors of a file that are held, of any export: what has no name takes its space until the
  // last is closed. Let go of before it is closed, when nobody else can have the number yet.
  void Hold(FileId file);
  void LetGo(FileId file, Remains remains);
  // Whether anything is counted for it.
  bool Knows(FileId file) const;

  struct Room {
    uint64_t limit = 0;
    uint64_t left = 0;
  };
  Room RoomOf(uint32_t export_index) const;
  size_t accounts() const;

 private:
  struct Account {
    int64_t base = 0;
    int64_t taken = 0;
    int64_t names = 0;
    bool changes = false;  // between Begin and End
    bool ended = false;    // has no name any more, and holders still
  };
  struct Budget {
    absl::int128 used = 0;
    absl::int128 reserved = 0;
    absl::flat_hash_map<FileId, Account> accounts;
  };

  static absl::int128 ChargeOf(const Account& account);
  // Charges `account` as `change` leaves it.
  template <typename Change>
  void Charge(Budget& budget, Account& account, Change change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What was there before all accounts of it, when it takes so much and gets another.
  int64_t LeastBaseOf(FileId file, int64_t taken) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CloseIfEmpty(Budget& budget, FileId file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Close(Budget& budget, FileId file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::vector<uint64_t> limits_;
  const size_t max_accounts_;
  const bool has_limits_;
  mutable absl::Mutex mutex_;
  std::vector<Budget> budgets_ ABSL_GUARDED_BY(mutex_);  // by export
  size_t accounts_ ABSL_GUARDED_BY(mutex_) = 0;          // of all of them
  absl::flat_hash_map<FileId, uint32_t> holders_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_QUOTA_LEDGER_H_
