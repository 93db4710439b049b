// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/sealed_frame.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "base/error.h"
#include "base/frames.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {

absl::StatusOr<UniqueFd> MakeSealedFrame(absl::string_view payload) {
  std::string frame;
  AppendFrame(payload, frame);
  MSB_ASSIGN_OR_RETURN(const int raw, Syscall("memfd_create", [] {
                         return ::memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
                       }));
  UniqueFd fd(raw);
  MSB_ASSIGN_OR_RETURN(const ssize_t written, Syscall("write an input", [&] {
                         return ::pwrite(fd.get(), frame.data(), frame.size(), 0);
                       }));
  if (static_cast<size_t>(written) != frame.size()) {
    return MakeError(Reason::kHostOutOfMemory, "no room for the input of a process");
  }
  MSB_RETURN_IF_ERROR(Syscall("seal an input", [&] {
    return ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  }));
  return fd;
}

}  // namespace msb
