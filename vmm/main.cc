// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb-vmm: runs one sandbox's machine. Started by the jailer with everything it needs as
// descriptors; opens no file by name, but /dev/kvm for --probe-kvm.

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/event_loop.h"
#include "base/frames.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/version.h"
#include "jailer/policy/filter.h"
#include "vmm/control/event_journal.h"
#include "vmm/kvm/ring0_speed.h"
#include "vmm/machine/exit_event.h"
#include "vmm/machine/vm_spec.h"
#include "vmm/machine/vmm.h"

namespace msb {
namespace {

constexpr char kUsage[] =
    "usage: msb-vmm --spec-fd N [--log-level LEVEL] [--debug-without-seccomp]\n"
    "       msb-vmm --probe-kvm [--kvm-fd N]\n"
    "       msb-vmm --version | --help\n"
    "\n"
    "  --spec-fd N        run the machine of the VmSpec that descriptor N holds, as one frame\n"
    "  --log-level LEVEL  of stderr: debug, info (the default), warning, error\n"
    "  --debug-without-seccomp\n"
    "                     let every thread make every system call, at the guest's mercy\n"
    "  --probe-kvm        measure how KVM runs a guest's ring 0, and print one line of JSON\n"
    "  --kvm-fd N         an open /dev/kvm; without it, /dev/kvm is opened\n"
    "\n"
    "exit status: 0 after a guest's shutdown, a stop on request or a probe; 1 after any other "
    "end,\n"
    "2 for a command line that is not understood\n";

constexpr int kExitOrderly = 0;
constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

// The supervisor has written the spec before it started us, or does so at once.
constexpr absl::Duration kSpecDeadline = absl::Seconds(10);

struct Arguments {
  std::optional<int> spec_fd;
  std::optional<int> kvm_fd;
  LogLevel log_level = LogLevel::kInfo;
  Seccomp seccomp = Seccomp::kInForce;
  bool probe_kvm = false;
  bool version = false;
  bool help = false;
};

std::optional<int> ParseDescriptor(absl::string_view text) {
  int number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < 0) return std::nullopt;
  return number;
}

// nullopt when the line is not understood.
std::optional<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view word = argv[i];
    const absl::string_view next = i + 1 < argc ? argv[i + 1] : "";
    if (word == "--version") {
      arguments.version = true;
    } else if (word == "--help") {
      arguments.help = true;
    } else if (word == "--probe-kvm") {
      arguments.probe_kvm = true;
    } else if (word == "--debug-without-seccomp") {
      arguments.seccomp = Seccomp::kOffForDebugging;
    } else if (word == "--spec-fd" || word == "--kvm-fd") {
      std::optional<int>& target = word == "--spec-fd" ? arguments.spec_fd : arguments.kvm_fd;
      target = ParseDescriptor(next);
      if (!target.has_value()) return std::nullopt;
      ++i;
    } else if (word == "--log-level") {
      const std::optional<LogLevel> level = ParseLogLevel(next);
      if (!level.has_value()) return std::nullopt;
      arguments.log_level = *level;
      ++i;
    } else {
      return std::nullopt;
    }
  }
  return arguments;
}

int ProbeKvm(const Arguments& arguments) {
  absl::StatusOr<Ring0Speed> speed = absl::UnknownError("");
  if (arguments.kvm_fd.has_value()) {
    speed = MeasureRing0Speed(UniqueFd(*arguments.kvm_fd));
  } else {
    const auto device =
        Syscall("open /dev/kvm", [] { return ::open("/dev/kvm", O_RDWR | O_CLOEXEC); });
    speed = device.ok() ? MeasureRing0Speed(UniqueFd(*device)) : device.status();
  }
  std::printf("%s\n", Ring0SpeedAsJson(speed).c_str());
  return kExitOrderly;
}

absl::StatusOr<msb::vmm::v1::VmSpec> ReadSpec(int fd) {
  const UniqueFd owner(fd);
  MSB_ASSIGN_OR_RETURN(const std::optional<std::string> frame,
                       ReadFrame(fd, absl::Now() + kSpecDeadline));
  msb::vmm::v1::VmSpec spec;
  if (!frame.has_value() || !spec.ParseFromString(*frame)) {
    return MakeError(Reason::kVmSpecInvalid, "the descriptor holds no VmSpec");
  }
  return spec;
}

// What would end the process without a word, and is an error of a system call otherwise: a reader
// that is gone, a file at RLIMIT_FSIZE (the console log grows at the guest's will). QEMU inherits
// it.
void IgnoreSignals() {
  for (const int signal : {SIGPIPE, SIGHUP, SIGXFSZ}) ::signal(signal, SIG_IGN);
}

// SIGTERM is a request to stop, so that an end from outside leaves word of itself too. Blocked
// before the first thread, and so in all of them.
absl::StatusOr<UniqueFd> TakeTermination() {
  sigset_t wanted;
  ::sigemptyset(&wanted);
  ::sigaddset(&wanted, SIGTERM);
  ::sigaddset(&wanted, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall("signalfd", [&] {
                         return ::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
                       }));
  return UniqueFd(fd);
}

// What stands before the machine, and leaves word of its failure by the caller.
struct Surroundings {
  UniqueFd termination;
  std::unique_ptr<EventLoop> loop;
};

absl::StatusOr<Surroundings> Prepare() {
  Surroundings made;
  MSB_ASSIGN_OR_RETURN(made.termination, TakeTermination());
  MSB_ASSIGN_OR_RETURN(made.loop, EventLoop::Create());
  return made;
}

absl::Status RunMachine(const Surroundings& made, msb::vmm::v1::VmSpec spec, uint64_t started_ns,
                        Seccomp seccomp) {
  Vmm vmm(*made.loop, std::move(spec), started_ns, seccomp);
  const absl::Status watched =
      made.loop->Watch(made.termination.get(), EPOLLIN, [&](uint32_t) { vmm.RequestStop(); });
  if (!watched.ok()) {
    MSB_LOG(kWarning) << "SIGTERM goes unheard: " << watched.message();
  }
  return vmm.Run();
}

int ExitStatusOf(const absl::Status& end) {
  const Reason reason = ReasonOf(end);
  const bool orderly = reason == Reason::kGuestShutdown || reason == Reason::kStoppedByRequest;
  return orderly ? kExitOrderly : kExitFailure;
}

int RunSpec(int spec_fd, uint64_t started_ns, Seccomp seccomp) {
  IgnoreSignals();
  // The guest's memory is in ours: nobody of our user attaches to us, and no core is written.
  ::prctl(PR_SET_DUMPABLE, 0);
  absl::StatusOr<msb::vmm::v1::VmSpec> spec = ReadSpec(spec_fd);
  if (!spec.ok()) {
    MSB_LOG(kError) << "no spec to run: " << spec.status().message();
    return kExitFailure;
  }
  MSB_LOG(kInfo) << "msb-vmm " << Version() << " runs sandbox " << EscapeForLog(spec->id());
  if (const absl::Status valid = ValidateSpec(*spec); !valid.ok()) {
    MSB_LOG(kError) << valid.message();
    ReportEarlyEnd(*spec, valid);
    return kExitFailure;
  }
  const absl::StatusOr<Surroundings> made = Prepare();
  if (!made.ok()) {
    const absl::Status why = WithReason(Reason::kHostError, "start the VMM", made.status());
    MSB_LOG(kError) << why.message();
    ReportEarlyEnd(*spec, why);
    return kExitFailure;
  }
  return ExitStatusOf(RunMachine(*made, *std::move(spec), started_ns, seccomp));
}

int Main(int argc, char** argv) {
  const uint64_t started_ns = EventJournal::NowNanoseconds();
  PrepareLibraries();
  const std::optional<Arguments> arguments = ParseArguments(argc, argv);
  if (!arguments.has_value()) {
    std::fputs(kUsage, stderr);
    return kExitUsage;
  }
  InitLog("msb-vmm", arguments->log_level);
  if (arguments->help) {
    std::fputs(kUsage, stdout);
    return kExitOrderly;
  }
  if (arguments->version) {
    std::printf("msb-vmm %s\n", std::string(Version()).c_str());
    return kExitOrderly;
  }
  if (arguments->probe_kvm) return ProbeKvm(*arguments);
  if (arguments->spec_fd.has_value()) {
    return RunSpec(*arguments->spec_fd, started_ns, arguments->seccomp);
  }
  std::fputs(kUsage, stderr);
  return kExitUsage;
}

}  // namespace
}  // namespace msb

int main(int argc, char** argv) { return msb::Main(argc, argv); }
