// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A change by which a mount with a quota may grow: what there must be room for before it, and what
// is counted after it. For a mount without one it does nothing, and costs a comparison.

#ifndef MSB_FILE_SERVER_QUOTA_CHANGE_H_
#define MSB_FILE_SERVER_QUOTA_CHANGE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "file-server/fuse/errno_or.h"
#include "file-server/quota/file_id.h"
#include "file-server/quota/file_space.h"
#include "file-server/quota/file_turns.h"
#include "file-server/quota/ledger.h"

namespace msb {

struct Quotas {
  explicit Quotas(const std::vector<uint64_t>& limits) : ledger(limits) {}
  Ledger ledger;
  FileTurns turns;
};

class QuotaChange {
 public:
  // What changes: a file, or a directory that gets a name.
  struct Subject {
    uint32_t export_index = 0;
    FileId id;
    int fd = -1;  // held for as long as the change is
  };

  // Alone with `subject`, and `other`: a directory that loses a name to it. `before_wait` is called
  // before any wait for that, as long as the change is.
  QuotaChange(Quotas& quotas, const Subject& subject, FileId other,
              const std::function<void()>& before_wait);
  QuotaChange(Quotas& quotas, const Subject& subject, const std::function<void()>& before_wait)
      : QuotaChange(quotas, subject, subject.id, before_wait) {}
  QuotaChange(const QuotaChange&) = delete;
  QuotaChange& operator=(const QuotaChange&) = delete;
  ~QuotaChange();

  bool counts() const { return quotas_ != nullptr; }

  // Each at most once before the change; EDQUOT. Of a file:
  Errno AdmitWrite(int fd, int64_t start, int64_t length);
  Errno AdmitAppend(int64_t length);
  Errno AdmitResize(int64_t size);
  // Of a directory: another name, or another place for one.
  Errno AdmitName();
  Errno AdmitMove();

  // The new name is there. Of what it is the name is said next, and else never known.
  void NameIsMade() { name_is_unknown_ = counts(); }
  // Of a new file, or directory.
  void CountFile(int fd);
  // Of a file that is the subject of another change meanwhile.
  void CountLink(FileId file);

 private:
  Errno Admit(int64_t most);

  Quotas* const quotas_;  // null without a limit
  const Subject subject_;
  const FileId other_;
  const std::function<void()>& before_wait_;
  FileSpace before_;
  int64_t reserved_ = 0;
  bool name_is_unknown_ = false;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_QUOTA_CHANGE_H_
