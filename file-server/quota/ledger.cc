// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/quota/ledger.h"

#include <algorithm>

namespace msb {

Ledger::Ledger(const std::vector<uint64_t>& limits, size_t max_accounts)
    : limits_(limits),
      max_accounts_(max_accounts),
      has_limits_(std::any_of(limits.begin(), limits.end(), [](uint64_t one) { return one != 0; })),
      budgets_(limits.size()) {}

absl::int128 Ledger::ChargeOf(const Account& account) {
  return absl::int128(kNameBytes) * account.names +
         std::max<int64_t>(0, account.taken - account.base);
}

template <typename Change>
void Ledger::Charge(Budget& budget, Account& account, Change change) {
  budget.used -= ChargeOf(account);
  change(account);
  budget.used += ChargeOf(account);
}

void Ledger::Close(Budget& budget, FileId file) {
  const auto known = budget.accounts.find(file);
  if (known == budget.accounts.end()) return;
  budget.used -= ChargeOf(known->second);
  budget.accounts.erase(known);
  --accounts_;
  // Or the table would stay as large as it ever was.
  if (budget.accounts.empty()) budget.accounts = {};
}

void Ledger::CloseIfEmpty(Budget& budget, FileId file) {
  const auto known = budget.accounts.find(file);
  if (known == budget.accounts.end() || known->second.changes) return;
  if (ChargeOf(known->second) == 0) Close(budget, file);
}

int64_t Ledger::LeastBaseOf(FileId file, int64_t taken) const {
  int64_t least = taken;
  for (const Budget& budget : budgets_) {
    const auto known = budget.accounts.find(file);
    if (known != budget.accounts.end()) least = std::min(least, known->second.base);
  }
  return least;
}

void Ledger::Begin(uint32_t export_index, FileId file, int64_t taken) {
  absl::MutexLock lock(&mutex_);
  Budget& budget = budgets_[export_index];
  auto known = budget.accounts.find(file);
  if (known == budget.accounts.end()) {
    if (accounts_ >= max_accounts_) return;  // then it may not grow
    known = budget.accounts.emplace(file, Account{.base = LeastBaseOf(file, taken)}).first;
    ++accounts_;
  }
  // What has become of it since was the host's doing, or its file system's, or another mount's.
  Charge(budget, known->second, [&](Account& account) {
    account.taken = taken;
    account.changes = true;
  });
}

ErrnoOr<int64_t> Ledger::Reserve(uint32_t export_index, FileId file, int64_t most, int64_t beside) {
  absl::MutexLock lock(&mutex_);
  Budget& budget = budgets_[export_index];
  const auto known = budget.accounts.find(file);
  if (known == budget.accounts.end() || (beside > 0 && accounts_ >= max_accounts_)) {
    return ErrnoValue(EDQUOT);
  }
  const Account& account = known->second;
  const int64_t wanted =
      beside + std::max<int64_t>(0, most - std::max(account.taken, account.base));
  // Whoever wants nothing more may go on, also where the host has made a file larger than it may
  // be.
  if (wanted > 0 && budget.used + budget.reserved + wanted > limits_[export_index]) {
    return ErrnoValue(EDQUOT);
  }
  budget.reserved += wanted;
  return wanted;
}

void Ledger::End(uint32_t export_index, FileId file, int64_t taken, int64_t reserved) {
  absl::MutexLock lock(&mutex_);
  Budget& budget = budgets_[export_index];
  budget.reserved -= reserved;
  const auto known = budget.accounts.find(file);
  if (known == budget.accounts.end()) return;
  Charge(budget, known->second, [&](Account& account) {
    account.taken = taken;
    account.changes = false;
  });
  CloseIfEmpty(budget, file);
}

Errno Ledger::CheckWithin(uint32_t export_index) const {
  absl::MutexLock lock(&mutex_);
  const Budget& budget = budgets_[export_index];
  return budget.used + budget.reserved <= limits_[export_index] ? Errno::kNone : ErrnoValue(EDQUOT);
}

// The number may be one of a file that the host has removed: its accounts end here, in all mounts.
// That of a file that is held is nobody else's: somebody has found this one meanwhile, and may have
// given it names.
void Ledger::AddFile(uint32_t export_index, FileId file, int64_t taken) {
  absl::MutexLock lock(&mutex_);
  const bool is_held = holders_.contains(file);
  for (Budget& budget : budgets_) {
    const auto known = budget.accounts.find(file);
    if (known == budget.accounts.end()) continue;
    if (is_held && !known->second.ended) {
      Charge(budget, known->second, [](Account& account) { account.base = 0; });
    } else {
      Close(budget, file);
    }
  }
  Budget& budget = budgets_[export_index];
  auto known = budget.accounts.find(file);
  if (known == budget.accounts.end()) {
    if (accounts_ >= max_accounts_) {  // others were quicker: nobody's, for ever
      budget.used += absl::int128(kNameBytes) + taken;
      return;
    }
    known = budget.accounts.emplace(file, Account{}).first;
    ++accounts_;
  }
  Charge(budget, known->second, [&](Account& account) {
    account.taken = taken;
    ++account.names;
  });
}

void Ledger::AddName(uint32_t export_index, FileId file) {
  absl::MutexLock lock(&mutex_);
  Budget& budget = budgets_[export_index];
  const auto known = budget.accounts.find(file);
  if (known == budget.accounts.end()) {
    budget.used += kNameBytes;  // all accounts were taken: nobody's, for ever
    return;
  }
  Charge(budget, known->second, [](Account& account) { ++account.names; });
}

void Ledger::AddUnknown(uint32_t export_index) {
  absl::MutexLock lock(&mutex_);
  budgets_[export_index].used += kNameBytes;
}

void Ledger::RemoveName(uint32_t export_index, FileId file, Remains remains) {
  absl::MutexLock lock(&mutex_);
  if (remains == Remains::kNothing) {
    const bool is_held = holders_.contains(file);
    for (Budget& budget : budgets_) {
      const auto known = budget.accounts.find(file);
      if (known == budget.accounts.end()) continue;
      known->second.ended = true;
      if (!is_held) Close(budget, file);
    }
    return;
  }
  Budget& budget = budgets_[export_index];
  const auto known = budget.accounts.find(file);
  if (known == budget.accounts.end()) return;
  Charge(budget, known->second,
         [](Account& account) { account.names = std::max<int64_t>(0, account.names - 1); });
  CloseIfEmpty(budget, file);
}

void Ledger::Hold(FileId file) {
  absl::MutexLock lock(&mutex_);
  ++holders_[file];
}

void Ledger::LetGo(FileId file, Remains remains) {
  absl::MutexLock lock(&mutex_);
  const auto holder = holders_.find(file);
  if (--holder->second > 0) return;
  holders_.erase(holder);
  for (Budget& budget : budgets_) {
    const auto known = budget.accounts.find(file);
    if (known == budget.accounts.end()) continue;
    if (remains == Remains::kNothing || known->second.ended) Close(budget, file);
  }
}

bool Ledger::Knows(FileId file) const {
  absl::MutexLock lock(&mutex_);
  return std::any_of(budgets_.begin(), budgets_.end(),
                     [&](const Budget& budget) { return budget.accounts.contains(file); });
}

Ledger::Room Ledger::RoomOf(uint32_t export_index) const {
  absl::MutexLock lock(&mutex_);
  const Budget& budget = budgets_[export_index];
  const uint64_t limit = limits_[export_index];
  const absl::int128 left = absl::int128(limit) - budget.used - budget.reserved;
  return {limit, left > 0 ? static_cast<uint64_t>(left) : 0};
}

size_t Ledger::accounts() const {
  absl::MutexLock lock(&mutex_);
  return accounts_;
}

}  // namespace msb
