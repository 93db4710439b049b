// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/exec/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

constexpr uint32_t kMaxDimension = 65535;
constexpr char kDefaultEndOfFile = 4;  // ^D

absl::Status NoTerminal(absl::string_view step) {
  return ErrnoError(Reason::kTooManyExecs, absl::StrCat("open a terminal, ", step), errno);
}

}  // namespace

absl::StatusOr<Terminal> OpenTerminal(const agent::v1::TerminalSize& size, uint32_t owner) {
  Terminal terminal;
  terminal.master = UniqueFd(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  if (!terminal.master.valid()) return NoTerminal("/dev/ptmx");
  const int unlocked = 0;
  if (::ioctl(terminal.master.get(), TIOCSPTLCK, &unlocked) != 0) return NoTerminal("unlock");
  // Not by name: the image's /dev/pts may be any directory.
  terminal.slave =
      UniqueFd(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave.valid()) return NoTerminal("its slave");
  if (owner != 0 && ::fchown(terminal.slave.get(), owner, static_cast<gid_t>(-1)) != 0) {
    return NoTerminal("give it to its user");
  }
  termios mode{};
  if (::tcgetattr(terminal.slave.get(), &mode) == 0) {
    mode.c_iflag |= IUTF8;  // so that erase takes a whole character
    ::tcsetattr(terminal.slave.get(), TCSANOW, &mode);
  }
  MSB_RETURN_IF_ERROR(ResizeTerminal(terminal.master.get(), size));
  return terminal;
}

absl::Status ResizeTerminal(int master, const agent::v1::TerminalSize& size) {
  if (size.rows() > kMaxDimension || size.columns() > kMaxDimension) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("a terminal of ", size.rows(), " rows and ", size.columns(),
                                  " columns; at most ", kMaxDimension, " each"));
  }
  winsize window{};
  window.ws_row = static_cast<unsigned short>(size.rows());
  window.ws_col = static_cast<unsigned short>(size.columns());
  if (::ioctl(master, TIOCSWINSZ, &window) != 0) {
    return ErrnoError(Reason::kNotATerminal, "resize the terminal", errno);
  }
  return absl::OkStatus();
}

char EndOfFileCharacter(int master) {
  termios mode{};
  if (::tcgetattr(master, &mode) != 0) return kDefaultEndOfFile;
  return static_cast<char>(mode.c_cc[VEOF]);
}

}  // namespace msb
