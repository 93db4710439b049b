// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl: the command line of microsandbox.

#include <fcntl.h>
#include <unistd.h>

#include "sdks/msbctl/application.h"

namespace {

// A standard stream that was closed must not be the number of the next file, the connection to the
// daemon for one: input then is at its end, and output fails. Before libraries prepare themselves:
// gRPC's opens descriptors.
[[gnu::constructor(101)]] void HoldStandardStreams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) >= 0) continue;
    [[maybe_unused]] const int held = ::open("/dev/null", O_RDONLY);  // the lowest that is free
  }
}

}  // namespace

int main(int argc, char** argv) { return msb::RunCommandLine(argc, argv); }
