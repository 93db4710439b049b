// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/qemu/qemu_machine.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/unix_socket.h"
#include "vmm/devices/virtio/spec/fs.h"
#include "vmm/devices/virtio/spec/net.h"
#include "vmm/memory/memory_image.h"

namespace msb {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr size_t kConsoleReadBytes = 4096;

std::optional<QemuCommandLineInput::VhostUser::FileSystem> FileSystemOf(
    const VirtioDevice& device) {
  if (device.id() != DeviceId::kFs) return std::nullopt;
  virtio::FsConfig config;
  MSB_CHECK(device.config().size() == sizeof(config));
  std::memcpy(&config, device.config().data(), sizeof(config));
  return QemuCommandLineInput::VhostUser::FileSystem{
      .tag = std::string(config.tag, ::strnlen(config.tag, sizeof(config.tag))),
      .queue_size = device.max_queue_sizes()[0]};
}

}  // namespace

QemuMachine::QemuMachine(EventLoop& loop, MachineObserver& observer, QemuMachineConfig config)
    : loop_(loop),
      observer_(observer),
      config_(std::move(config)),
      incoming_(config_.restore.has_value()) {}

absl::Status QemuMachine::Start() {
  QemuCommandLineInput input{.directory = config_.directory,
                             .accelerator = config_.accelerator,
                             .vcpus = config_.vcpus,
                             .memory_mib = config_.memory_mib,
                             .kernel_fd = config_.kernel.get(),
                             .initramfs_fd = config_.initramfs.get()};
  if (config_.balloon.has_value()) input.balloon = config_.balloon->options;
  UniqueFd monitor;
  MSB_ASSIGN_OR_RETURN(input.monitor_fd, Connect(monitor));
  MSB_ASSIGN_OR_RETURN(input.console_fd, Connect(console_));
  MSB_RETURN_IF_ERROR(ServeDevices(input));
  MSB_RETURN_IF_ERROR(ServeConsole());
  QmpObserver& qmp_observer = *this;
  MSB_ASSIGN_OR_RETURN(qmp_, QmpClient::Create(loop_, std::move(monitor), qmp_observer));
  if (config_.save.has_value() || config_.restore.has_value()) {
    MSB_ASSIGN_OR_RETURN(memory_, MakeMemoryFile(config_.memory_mib * kMiB));
  }
  MSB_ASSIGN_OR_RETURN(const std::vector<std::string> arguments,
                       BuildCommandLine(std::move(input)));
  std::vector<int> descriptors;
  for (const UniqueFd* file : {&config_.kernel, &config_.initramfs, &memory_}) {
    if (file->valid()) descriptors.push_back(file->get());
  }
  if (incoming_) descriptors.push_back(config_.restore->state.get());
  for (const UniqueFd& end : inherited_) descriptors.push_back(end.get());
  absl::StatusOr<std::unique_ptr<QemuProcess>> process = QemuProcess::Spawn(
      loop_, {.arguments = arguments, .inherited = descriptors, .seccomp = config_.seccomp},
      [this](ProcessEnd end) { OnExit(std::move(end)); });
  if (!process.ok()) return WithReason(Reason::kQemuError, "cannot start QEMU", process.status());
  process_ = *std::move(process);
  inherited_.clear();
  config_.kernel.Reset();
  config_.initramfs.Reset();
  if (config_.balloon.has_value() && config_.balloon->size_mib > 0) {
    MSB_RETURN_IF_ERROR(SetBalloon(config_.balloon->size_mib));
  }
  return incoming_ ? GoOnFromSnapshot() : absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> QemuMachine::BuildCommandLine(QemuCommandLineInput input) {
  input.memory_fd = memory_.get();
  input.incoming = incoming_;
  if (!input.incoming) {
    const bool saved = config_.save.has_value();
    MSB_ASSIGN_OR_RETURN(
        input.kernel_command_line,
        BuildQemuGuestCommandLine(
            {.tsc_khz = tsc_.Khz(saved ? HostTscMeter::kLong : HostTscMeter::kShortest),
             .extra = config_.command_line,
             .name_empty_places = saved}));
  }
  return BuildQemuCommandLine(input);
}

// QEMU is on its way up meanwhile, and reads no memory before it goes on.
absl::Status QemuMachine::GoOnFromSnapshot() {
  MSB_RETURN_IF_ERROR(ReadMemoryImage(config_.restore->memory.get(), memory_.get()));
  qmp_->RestoreState(config_.restore->state.get(),
                     [this](const absl::Status& status) { OnStateRestored(status); });
  memory_.Reset();
  config_.restore.reset();
  return absl::OkStatus();
}

void QemuMachine::OnStateRestored(const absl::Status& status) {
  if (ended_) return;
  if (!status.ok()) {
    // That QEMU hung up is told, with its reason, by the end of the process.
    if (absl::IsUnavailable(status)) return;
    return End(MakeError(Reason::kQemuError, absl::StrCat("the boot snapshot: ", status.message(),
                                                          ": ", process_->ErrorOutput())));
  }
  observer_.OnMachineReady();
  qmp_->Continue([this](const absl::Status& continued) {
    if (continued.ok() || absl::IsUnavailable(continued)) return;
    End(WithReason(Reason::kQemuError, "the boot snapshot", continued));
  });
}

// A pair of connected sockets: our end, and the number of QEMU's.
absl::StatusOr<int> QemuMachine::Connect(UniqueFd& ours) {
  int ends[2];
  MSB_RETURN_IF_ERROR(Syscall(
      "socketpair", [&] { return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); }));
  ours = UniqueFd(ends[0]);
  inherited_.emplace_back(ends[1]);
  return ends[1];
}

absl::Status QemuMachine::ServeDevices(QemuCommandLineInput& input) {
  for (VirtioDevice* const device : config_.devices) {
    if (device->id() == DeviceId::kNet) {
      MSB_RETURN_IF_ERROR(AwaitNetConnection(*device, input));
      continue;
    }
    UniqueFd ours;
    MSB_ASSIGN_OR_RETURN(const int theirs, Connect(ours));
    input.vhost_user.push_back({device->id(), theirs, FileSystemOf(*device)});
    MSB_RETURN_IF_ERROR(Serve(*device, std::move(ours)));
  }
  return absl::OkStatus();
}

absl::Status QemuMachine::Serve(VirtioDevice& device, UniqueFd socket) {
  // That QEMU hung up is told, with its reason, by the end of the process.
  auto on_end = [this](absl::Status why) {
    if (!absl::IsUnavailable(why)) End(std::move(why));
  };
  MSB_ASSIGN_OR_RETURN(auto server, vhost_user::DeviceServer::Create(
                                        loop_, std::move(socket), device, memory_tables_,
                                        std::move(on_end), [this, &device] { OnConfig(device); }));
  servers_.push_back(std::move(server));
  return absl::OkStatus();
}

absl::Status QemuMachine::AwaitNetConnection(VirtioDevice& device, QemuCommandLineInput& input) {
  const std::string name = absl::StrCat("msb-net-", ::getpid());
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall("socket", [] {
                         return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                       }));
  net_listener_ = UniqueFd(fd);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, sizeof(address.sun_path) - 1);  // abstract: behind a NUL
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  MSB_RETURN_IF_ERROR(Syscall(
      "bind", [&] { return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), length); }));
  MSB_RETURN_IF_ERROR(Syscall("listen", [&] { return ::listen(fd, 1); }));
  const absl::Span<const uint8_t> config = device.config();
  input.vhost_user.push_back({.device = device.id(),
                              .config = std::string(config.begin(), config.end()),
                              .abstract_socket = name});
  return loop_.Watch(fd, EPOLLIN, [this, &device](uint32_t) { OnNetConnection(device); });
}

// The first is QEMU's: nobody else is in the jail, and it connects before it runs its guest.
void QemuMachine::OnNetConnection(VirtioDevice& device) {
  absl::StatusOr<UniqueFd> socket = AcceptUnix(net_listener_.get(), Blocking::kYes);
  if (absl::IsUnavailable(socket.status())) return;
  loop_.Unwatch(net_listener_.get());
  net_listener_.Reset();
  const absl::Status served = socket.ok() ? Serve(device, *std::move(socket)) : socket.status();
  if (!served.ok()) End(WithReason(Reason::kHostError, "the network card", served));
}

// QEMU keeps the config space of a network card itself, and asks us for that of others.
void QemuMachine::OnConfig(const VirtioDevice& device) {
  if (device.id() != DeviceId::kNet || ended_ || qmp_ == nullptr) return;
  virtio::NetConfig config;
  if (device.config().size() < sizeof(config)) return;
  std::memcpy(&config, device.config().data(), sizeof(config));
  const auto link = (config.status & virtio::kNetStatusLinkUp) != 0 ? QmpClient::Link::kUp
                                                                    : QmpClient::Link::kDown;
  qmp_->SetLink(kQemuNetName, link, [](const absl::Status& status) {
    if (!status.ok()) {
      MSB_LOG(kWarning) << "set_link: " << status.message();
    }
  });
}

absl::Status QemuMachine::ServeConsole() {
  return loop_.Watch(console_.get(), EPOLLIN, [this](uint32_t) { OnConsole(); });
}

// At most one read a turn of the loop, so that a guest that floods its console keeps nobody
// waiting.
void QemuMachine::OnConsole() {
  if (ReadConsole() == ConsoleRead::kEnd) loop_.Unwatch(console_.get());
}

QemuMachine::ConsoleRead QemuMachine::ReadConsole() {
  char bytes[kConsoleReadBytes];
  const absl::StatusOr<ssize_t> got = Syscall(
      "recv console", [&] { return ::recv(console_.get(), bytes, sizeof(bytes), MSG_DONTWAIT); });
  if (absl::IsUnavailable(got.status())) return ConsoleRead::kNothing;
  if (!got.ok() || *got == 0) return ConsoleRead::kEnd;
  if (config_.console != nullptr) {
    config_.console(absl::string_view(bytes, static_cast<size_t>(*got)));
  }
  return ConsoleRead::kData;
}

void QemuMachine::Pause(Done done) {
  if (ended_ || qmp_ == nullptr) return done(absl::UnavailableError("the machine has ended"));
  qmp_->Stop(std::move(done));
}

void QemuMachine::Resume(Done done) {
  if (ended_ || qmp_ == nullptr) return done(absl::UnavailableError("the machine has ended"));
  qmp_->Continue(std::move(done));
}

void QemuMachine::SaveBootSnapshot(Done done) {
  if (ended_ || qmp_ == nullptr) return done(absl::UnavailableError("the machine has ended"));
  if (!config_.save.has_value()) {
    return done(MakeError(Reason::kInternalBug, "the machine was not made to be saved"));
  }
  qmp_->Stop([this, done = std::move(done)](const absl::Status& stopped) {
    if (!stopped.ok()) return done(stopped);
    qmp_->SaveState(std::move(config_.save->state), [this, done](const absl::Status& saved) {
      done(saved.ok() ? WriteMemoryImage(memory_.get(), config_.save->memory.get()) : saved);
    });
  });
}

absl::Status QemuMachine::SetBalloon(uint32_t mib) {
  if (!config_.balloon.has_value()) {
    return MakeError(Reason::kUnsupportedByEngine, "the machine was made without a balloon");
  }
  if (mib >= config_.memory_mib) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("balloon of ", mib, " MiB in a machine of ", config_.memory_mib));
  }
  if (ended_ || qmp_ == nullptr) return absl::UnavailableError("the machine has ended");
  qmp_->Balloon((config_.memory_mib - mib) * kMiB, [](const absl::Status& status) {
    if (!status.ok()) {
      MSB_LOG(kWarning) << "balloon: " << status.message();
    }
  });
  return absl::OkStatus();
}

msb::vmm::v1::Stats QemuMachine::stats() const {
  msb::vmm::v1::Stats stats;
  stats.set_balloon_mib(balloon_bytes_ / kMiB);
  return stats;
}

void QemuMachine::Stop() {
  ended_ = true;
  if (process_ != nullptr) process_->Kill();
  servers_.clear();
  qmp_.reset();
  if (net_listener_.valid()) loop_.Unwatch(net_listener_.get());
  net_listener_.Reset();
  if (console_.valid()) loop_.Unwatch(console_.get());
  console_.Reset();
}

void QemuMachine::OnQmpReady() {
  // A machine that goes on from a snapshot is ready when it has its state.
  if (!incoming_) observer_.OnMachineReady();
}

// An enumerator of QEMU's own; but QEMU is not trusted with a log line.
void QemuMachine::OnQmpShutdown(absl::string_view reason) {
  shutdown_reason_ = EscapeForLog(reason);
}

void QemuMachine::OnQmpBalloonChange(uint64_t bytes) {
  const uint64_t whole = config_.memory_mib * kMiB;
  balloon_bytes_ = bytes < whole ? whole - bytes : 0;
}

void QemuMachine::OnQmpEnd(absl::Status why) {
  // That QEMU hung up is told, with its reason, by the end of the process.
  if (!absl::IsUnavailable(why)) End(std::move(why));
}

void QemuMachine::OnExit(ProcessEnd end) {
  // The event that says why, and a panic's last words, may still stand in their sockets; QEMU can
  // add no more, so that both are finite.
  qmp_->Drain();
  while (ReadConsole() == ConsoleRead::kData) {
  }
  End(EndOf(end));
}

absl::Status QemuMachine::EndOf(const ProcessEnd& end) const {
  // With -no-reboot, a reset by the guest is the orderly end of a QEMU; reboot=t makes each end of
  // a Linux guest one, a panic too.
  if (!end.exited_cleanly() || shutdown_reason_.empty()) {
    return MakeError(Reason::kQemuError, absl::StrCat("QEMU ", end.Text()));
  }
  if (shutdown_reason_ != "guest-reset" && shutdown_reason_ != "guest-shutdown") {
    return MakeError(Reason::kQemuError, absl::StrCat("QEMU shut down: ", shutdown_reason_));
  }
  if (config_.shutdown_announced != nullptr && config_.shutdown_announced()) {
    return MakeError(Reason::kGuestShutdown, "the guest shut down");
  }
  return MakeError(Reason::kGuestReset, "the guest reset the machine without shutting down");
}

void QemuMachine::End(absl::Status why) {
  if (std::exchange(ended_, true)) return;
  if (process_ != nullptr) process_->Kill();
  observer_.OnEnded(std::move(why));
}

}  // namespace msb
