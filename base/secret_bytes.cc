// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/secret_bytes.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace msb {
namespace {

size_t RoundToPages(size_t bytes) {
  static const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

SecretBytes::SecretBytes(absl::string_view bytes) {
  if (bytes.empty()) return;
  const size_t mapped = RoundToPages(bytes.size());
  void* const memory =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  // Each as far as the kernel and RLIMIT_MEMLOCK let it: a host without swap needs no lock.
  ::mlock(memory, mapped);
  ::madvise(memory, mapped, MADV_DONTDUMP);
  ::madvise(memory, mapped, MADV_WIPEONFORK);
  std::memcpy(memory, bytes.data(), bytes.size());
  data_ = static_cast<char*>(memory);
  size_ = bytes.size();
}

SecretBytes::~SecretBytes() {
  if (data_ == nullptr) return;
  ::explicit_bzero(data_, size_);
  ::munmap(data_, RoundToPages(size_));  // and with it the lock
}

void Wipe(std::string& text) {
  // What a string has in reserve may hold earlier bytes.
  text.resize(text.capacity());
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

}  // namespace msb
