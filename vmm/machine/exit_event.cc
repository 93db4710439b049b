// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/machine/exit_event.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/error.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/syscall.h"
#include "vmm/control/event_journal.h"

namespace msb {

void WriteExitEvent(const UniqueFd& file, const msb::vmm::v1::VmEvent& event) {
  if (!file.valid()) return;
  std::string frame;
  AppendFrame(event.SerializeAsString(), frame);
  // First the content, then the cut: a reader never finds less than a whole frame.
  const auto written =
      Syscall("pwrite", [&] { return ::pwrite(file.get(), frame.data(), frame.size(), 0); });
  if (!written.ok() || static_cast<size_t>(*written) != frame.size()) {
    MSB_LOG(kError) << "exit event is not written: " << written.status().message();
    return;
  }
  const auto cut = Syscall(
      "ftruncate", [&] { return ::ftruncate(file.get(), static_cast<off_t>(frame.size())); });
  if (cut.ok()) return;
  MSB_LOG(kWarning) << "exit event: " << cut.status().message();
}

void ReportEarlyEnd(const msb::vmm::v1::VmSpec& spec, const absl::Status& why) {
  struct stat status;
  if (spec.exit_event_fd() <= STDERR_FILENO || ::fstat(spec.exit_event_fd(), &status) != 0 ||
      !S_ISREG(status.st_mode)) {
    return;
  }
  EventJournal journal;
  WriteExitEvent(UniqueFd(spec.exit_event_fd()),
                 journal.Record(msb::vmm::v1::VmEvent::KIND_ENDED, EventJournal::NowNanoseconds(),
                                ReasonOf(why), why.message()));
}

}  // namespace msb
