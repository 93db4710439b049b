// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/tree/inode_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace msb {
namespace {

// A number of the guest's: 15 bits that say which range, 48 of the host's number in it.
constexpr int kRangeShift = 48;
constexpr uint64_t kInRange = (uint64_t{1} << kRangeShift) - 1;
constexpr size_t kMaxRanges = 0x8000;
// Or this and a hash.
constexpr uint64_t kHashed = uint64_t{1} << 63;

// The finish of MurmurHash3: one to one. The same in each process, so that what tools keep of a
// file's number (git's index) holds for as long as it can.
constexpr uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 33)) * 0xff51afd7ed558ccd;
  value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53;
  return value ^ (value >> 33);
}

// What the guest hears when the way to a known file leads nowhere, or to something else.
Errno AsStale(Errno error) {
  for (const int gone : {ENOENT, ENOTDIR, ELOOP, EACCES, EXDEV}) {
    if (error == ErrnoValue(gone)) return ErrnoValue(ESTALE);
  }
  return error;
}

}  // namespace

Inode::Inode(UniqueFd fd, const InodeFacts& facts, Ledger* ledger)
    : fd_(std::move(fd)), facts_(facts), ledger_(ledger) {
  if (ledger_ != nullptr) ledger_->Hold(id());
}

Inode::~Inode() {
  if (ledger_ == nullptr) return;
  const bool is_gone = ledger_->Knows(id()) && HasNoName();
  ledger_->LetGo(id(), is_gone ? Ledger::Remains::kNothing : Ledger::Remains::kNamed);
}

bool Inode::HasNoName() const {
  if (shown().kind != FileSystemKind::kLocal) return false;
  struct stat info;
  return ::fstat(fd(), &info) == 0 && info.st_nlink == 0;
}

std::string Inode::ProcPath() const { return absl::StrCat("/proc/self/fd/", fd()); }

bool Inode::UnchangedSinceLastAsked(const struct stat& info) const {
  const Stamp now(info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ctim.tv_sec,
                  info.st_ctim.tv_nsec, info.st_size);
  absl::MutexLock lock(&mutex_);
  return std::exchange(stamp_, now) == now;
}

ErrnoOr<InodeRef> InodeTable::Find(uint64_t node) {
  {
    absl::ReaderMutexLock lock(&mutex_);
    const auto found = entries_.find(node);
    if (found == entries_.end()) return ErrnoValue(ESTALE);
    if (const InodeRef& inode = found->second.inode) {
      inode->Use();
      return inode;
    }
  }
  return OpenAgain(node);
}

// The directory is not closed while this looks into it, and the lock is not held while the host's
// file system may take its time.
ErrnoOr<InodeRef> InodeTable::OpenAgain(uint64_t node) {
  InodePlace place;
  Shown shown;
  InodeRef directory;
  {
    absl::ReaderMutexLock lock(&mutex_);
    const auto known = entries_.find(node);
    if (known == entries_.end()) return ErrnoValue(ESTALE);
    if (known->second.inode != nullptr) return known->second.inode;
    place = known->second.place;
    shown = known->second.facts.shown;
    const auto parent = entries_.find(place.directory);
    if (parent == entries_.end()) return ErrnoValue(ESTALE);
    directory = parent->second.inode;
  }
  if (directory == nullptr || !directory->is_directory()) return ErrnoValue(ESTALE);
  ErrnoOr<Found> found = FindEntry(directory->AsDirectory(), place.name);
  if (!found.ok()) return AsStale(found.error());
  const std::string identity = IdentityOf(found->fd.get());
  MSB_ASSIGN_OR_ERRNO(InodeRef inode,
                      HoldFound(std::move(found->fd), InodeFacts(found->info, shown), place));

  absl::MutexLock lock(&mutex_);
  const auto known = entries_.find(node);
  if (known == entries_.end()) return ErrnoValue(ESTALE);
  Entry& entry = known->second;
  if (entry.inode != nullptr) return entry.inode;
  if (!entry.facts.AreOf(found->info) || entry.identity != identity) return ErrnoValue(ESTALE);
  MSB_RETURN_IF_ERRNO(MakeRoom());
  Open(node, entry, std::move(inode));
  return entry.inode;
}

// What was unlinked between the look and this would be held by nobody for the ledger, and take its
// space all the same.
ErrnoOr<InodeRef> InodeTable::HoldFound(UniqueFd fd, const InodeFacts& facts,
                                        const InodePlace& place) const {
  auto inode = std::make_shared<const Inode>(std::move(fd), facts, ledger_);
  const bool is_export = place.directory == 0;
  if (ledger_ != nullptr && !is_export && inode->HasNoName()) return ErrnoValue(ESTALE);
  return InodeRef(inode);
}

void InodeTable::Open(uint64_t node, Entry& entry, InodeRef inode) {
  entry.inode = std::move(inode);
  entry.identity.clear();
  ++open_;
  if (!MayBeClosed(entry)) return;
  entry.in_queue = queue_.insert(queue_.end(), node);
}

Errno InodeTable::MakeRoom() {
  while (open_ >= descriptors_) {
    if (!CloseOne()) return ErrnoValue(ENFILE);
  }
  return Errno::kNone;
}

// A clock: what was used since the hand came by stays for another round.
bool InodeTable::CloseOne() {
  for (size_t looks = 2 * queue_.size(); looks > 0 && !queue_.empty(); --looks) {
    const uint64_t node = queue_.front();
    Entry& entry = entries_.find(node)->second;
    queue_.splice(queue_.end(), queue_, queue_.begin());
    if (entry.inode.use_count() > 1 || entry.inode->UsedSinceLastAsked()) continue;
    // Closed, or kept open until it is seen somewhere.
    queue_.erase(*std::exchange(entry.in_queue, std::nullopt));
    if (!CanBeFoundAgain(entry)) continue;
    entry.identity = IdentityOf(entry.inode->fd());
    entry.inode.reset();
    --open_;
    return true;
  }
  return false;
}

bool InodeTable::CanBeFoundAgain(const Entry& entry) const {
  const auto parent = entries_.find(entry.place.directory);
  if (parent == entries_.end() || parent->second.inode == nullptr) return false;
  const Inode& directory = *parent->second.inode;
  if (!directory.is_directory() || directory.shown().kind != FileSystemKind::kLocal) return false;
  ErrnoOr<Found> found = FindEntry(directory.AsDirectory(), entry.place.name);
  return found.ok() && entry.facts.AreOf(found->info);
}

// A directory leads to others. Another machine's file system may let a look wait for ever, and
// others would wait for the lock that is held meanwhile.
bool InodeTable::MayBeClosed(const Entry& entry) {
  return entry.facts.type != S_IFDIR && entry.facts.shown.kind == FileSystemKind::kLocal &&
         entry.place.directory != 0;
}

// What is known by this number, if it is this file: the number of one that is closed may have been
// given to another file since.
InodeTable::Entry* InodeTable::FindKnown(const struct stat& info, int fd, uint32_t export_index) {
  const auto number = numbers_.find(Key(info.st_dev, info.st_ino, export_index));
  if (number == numbers_.end()) return nullptr;
  Entry& entry = entries_.find(number->second)->second;
  if (entry.inode != nullptr) return &entry;
  if (entry.facts.AreOf(info) && entry.identity == IdentityOf(fd)) return &entry;
  entry.place = {};
  numbers_.erase(number);
  return nullptr;
}

ErrnoOr<uint64_t> InodeTable::Lookup(Found found, InodePlace place, const Shown& shown) {
  Entry looked{.facts = InodeFacts(found.info, shown), .place = std::move(place)};
  const int fd = found.fd.get();
  InodeRef inode;
  if (ledger_ != nullptr) {
    MSB_ASSIGN_OR_ERRNO(inode, HoldFound(std::move(found.fd), looked.facts, looked.place));
  }
  absl::MutexLock lock(&mutex_);
  Entry* const known = FindKnown(found.info, fd, shown.export_index);
  if (known != nullptr) {
    ++known->lookups;
    return SeenAt(*known, std::move(looked.place));
  }
  if (entries_.size() >= capacity_) return ErrnoValue(ENFILE);
  // A walk through a large tree asks for many names and uses few of them: with all descriptors in
  // use, a new file gets its own when it is asked for.
  const bool closed = MayBeClosed(looked) && open_ >= descriptors_;
  if (!closed) MSB_RETURN_IF_ERRNO(MakeRoom());
  const uint64_t node = next_node_++;
  numbers_[KeyOf(looked.facts)] = node;
  Entry& entry = entries_.emplace(node, std::move(looked)).first->second;
  if (closed) {
    entry.identity = IdentityOf(fd);
    return node;
  }
  if (inode == nullptr) {
    inode = std::make_shared<const Inode>(std::move(found.fd), entry.facts, nullptr);
  }
  Open(node, entry, std::move(inode));
  return node;
}

void InodeTable::Move(const Found& found, uint32_t export_index, InodePlace place) {
  absl::MutexLock lock(&mutex_);
  Entry* const known = FindKnown(found.info, found.fd.get(), export_index);
  if (known != nullptr) SeenAt(*known, std::move(place));
}

uint64_t InodeTable::SeenAt(Entry& entry, InodePlace place) {
  const uint64_t node = numbers_.find(KeyOf(entry.facts))->second;
  entry.place = std::move(place);
  if (entry.inode != nullptr && !entry.in_queue && MayBeClosed(entry)) {
    entry.in_queue = queue_.insert(queue_.end(), node);
  }
  return node;
}

FileSystemKind InodeTable::KindOf(uint64_t node) const {
  absl::ReaderMutexLock lock(&mutex_);
  const auto known = entries_.find(node);
  return known == entries_.end() ? FileSystemKind::kRemote : known->second.facts.shown.kind;
}

void InodeTable::Hold(Found found, uint32_t export_index) {
  absl::MutexLock lock(&mutex_);
  Entry* const known = FindKnown(found.info, found.fd.get(), export_index);
  if (known == nullptr || known->inode != nullptr) return;
  if (MakeRoom() != Errno::kNone) return;  // then its number leads nowhere
  // It may have other names, and is of this host.
  ErrnoOr<InodeRef> inode = HoldFound(std::move(found.fd), known->facts, known->place);
  if (inode.ok()) Open(numbers_.find(KeyOf(known->facts))->second, *known, *std::move(inode));
}

bool InodeTable::HasClosed() const {
  absl::ReaderMutexLock lock(&mutex_);
  return open_ < entries_.size();
}

InodeRef InodeTable::Forget(uint64_t node, uint64_t count) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(node);
  if (found == entries_.end()) return nullptr;
  Entry& entry = found->second;
  entry.lookups -= std::min(entry.lookups, count);
  if (entry.lookups > 0) return nullptr;
  InodeRef last = std::move(entry.inode);
  if (last != nullptr) --open_;
  if (entry.in_queue) queue_.erase(*entry.in_queue);
  const auto number = numbers_.find(KeyOf(entry.facts));
  if (number != numbers_.end() && number->second == node) numbers_.erase(number);
  entries_.erase(found);
  return last;
}

void InodeTable::Clear() {
  absl::flat_hash_map<uint64_t, Entry> closing;
  absl::MutexLock lock(&mutex_);
  closing.swap(entries_);
  numbers_.clear();
  queue_.clear();
  open_ = 0;
}

size_t InodeTable::size() const {
  absl::ReaderMutexLock lock(&mutex_);
  return entries_.size();
}

size_t InodeTable::open() const {
  absl::ReaderMutexLock lock(&mutex_);
  return open_;
}

uint64_t InodeTable::GuestInodeNumber(dev_t device, ino_t number) {
  const Range range(device, number >> kRangeShift);
  absl::MutexLock lock(&ranges_mutex_);
  auto known = ranges_.find(range);
  if (known == ranges_.end()) {
    if (ranges_.size() >= kMaxRanges) return kHashed | Mix(Mix(device) ^ number);
    known = ranges_.emplace(range, ranges_.size()).first;
  }
  return known->second << kRangeShift | (number & kInRange);
}

}  // namespace msb
