// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A kernel whose first instructions say so: a byte to the serial port, without looking whether it is ready.
// Started at the 64-bit entry of the Linux boot protocol.

.section .text
.globl _start
_start:
  mov $0x3f8, %dx
  mov $'!', %al
  out %al, (%dx)
1:
  hlt
  jmp 1b
