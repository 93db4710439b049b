// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The least init: ends the machine at once. What a bare kernel boot costs.

#include <sys/reboot.h>
#include <unistd.h>

int main(void) {
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}
