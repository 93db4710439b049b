// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/quota/change.h"

#include <utility>

namespace msb {

QuotaChange::QuotaChange(Quotas& quotas, const Subject& subject, FileId other,
                         const std::function<void()>& before_wait)
    : quotas_(quotas.ledger.Limits(subject.export_index) ? &quotas : nullptr),
      subject_(subject),
      other_(other),
      before_wait_(before_wait) {
  if (!counts()) return;
  quotas_->turns.Take(subject_.id, other_, before_wait);
  ErrnoOr<FileSpace> space = SpaceOf(subject_.fd);
  if (space.ok()) before_ = *space;
  quotas_->ledger.Begin(subject_.export_index, subject_.id, TakenBytes(before_));
}

QuotaChange::~QuotaChange() {
  if (!counts()) return;
  if (name_is_unknown_) quotas_->ledger.AddUnknown(subject_.export_index);
  ErrnoOr<FileSpace> space = SpaceOf(subject_.fd, before_.blocks);
  const int64_t taken = TakenBytes(space.ok() ? *space : before_);
  quotas_->ledger.End(subject_.export_index, subject_.id, taken, reserved_);
  quotas_->turns.Return(subject_.id, other_);
}

Errno QuotaChange::Admit(int64_t most) {
  if (most <= TakenBytes(before_)) return Errno::kNone;
  MSB_ASSIGN_OR_ERRNO(
      reserved_, quotas_->ledger.Reserve(subject_.export_index, subject_.id, most, /*beside=*/0));
  return Errno::kNone;
}

Errno QuotaChange::AdmitWrite(int fd, int64_t start, int64_t length) {
  if (!counts()) return Errno::kNone;
  const Errno room = Admit(MostAfterWrite(before_, start, length));
  // Over what is there already a full mount may be written on.
  if (room != Errno::kNone && IsWithoutHole(fd, start, length)) return Errno::kNone;
  return room;
}

Errno QuotaChange::AdmitAppend(int64_t length) {
  return counts() ? Admit(MostAfterWrite(before_, before_.size, length)) : Errno::kNone;
}

Errno QuotaChange::AdmitResize(int64_t size) {
  return counts() ? Admit(MostAfterResize(before_, size)) : Errno::kNone;
}

Errno QuotaChange::AdmitName() {
  if (!counts()) return Errno::kNone;
  MSB_ASSIGN_OR_ERRNO(reserved_, quotas_->ledger.Reserve(subject_.export_index, subject_.id,
                                                         TakenBytes(before_), Ledger::kNameBytes));
  return Errno::kNone;
}

// A directory may have to grow for it: by a block, after which there is no other move.
Errno QuotaChange::AdmitMove() {
  return counts() ? quotas_->ledger.CheckWithin(subject_.export_index) : Errno::kNone;
}

void QuotaChange::CountFile(int fd) {
  if (!name_is_unknown_) return;
  struct stat info;
  if (::fstat(fd, &info) != 0) return;
  const FileId file = IdOf(info);
  if (file == subject_.id || file == other_) return;  // put there by somebody on the host
  // Whoever has looked the name up may write to it already.
  quotas_->turns.Take(file, file, before_wait_);
  ErrnoOr<FileSpace> made = SpaceOf(fd);
  if (made.ok()) {
    quotas_->ledger.AddFile(subject_.export_index, file, TakenBytes(*made));
    name_is_unknown_ = false;
  }
  quotas_->turns.Return(file, file);
}

void QuotaChange::CountLink(FileId file) {
  if (!std::exchange(name_is_unknown_, false)) return;
  quotas_->ledger.AddName(subject_.export_index, file);
}

}  // namespace msb
