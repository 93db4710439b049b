// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Whole guests of a few instructions, for tests of the machine that take milliseconds. Each starts in
// long mode as the 64-bit boot protocol leaves it (ring 0, no interrupts, first GiB mapped one to one),
// anywhere in memory, and keeps to instructions that KVM's emulator has.

#define BOOT_MARK_PORT 0x500
#define SERIAL_PORT 0x3f8
#define RESET_PORT 0x64
#define COUNTER 0x90000
#define PAGE_DIRECTORY_POINTERS 0xa000
#define SPARE_PAGE_DIRECTORY 0xc000
#define LOCAL_APIC 0xfee00000
#define VIRTIO_MMIO 0xd0000000

  .section .rodata
  .code64

.macro guest name
  .globl msb_guest_\name
  .globl msb_guest_\name\()_end
  .balign 16
msb_guest_\name:
.endm

.macro guest_end name
msb_guest_\name\()_end:
.endm

.macro mark stage
  movw $BOOT_MARK_PORT, %dx
  movb $\stage, %al
  outb %al, %dx
.endm

.macro halt
9: hlt
  jmp 9b
.endm

// An exception without a table to take it by.
.macro triple_fault
  pushq $0
  pushq $0
  lidt (%rsp)
  movq $1, %rax
  shlq $63, %rax
  movq (%rax), %rax
.endm

// Maps the fourth GiB, where the devices are, one to one by the page directory of the spare page; only
// the 2 MiB page of `address` becomes present.
.macro map_device address
  movl $(\address & 0xffe00000), %eax
  orq $0x83, %rax
  movq $(SPARE_PAGE_DIRECTORY + ((\address - 0xc0000000) >> 21) * 8), %rbx
  movq %rax, (%rbx)
  movq $(PAGE_DIRECTORY_POINTERS + 3 * 8), %rbx
  movq $(SPARE_PAGE_DIRECTORY + 3), %rax
  movq %rax, (%rbx)
.endm

guest halt
  halt
guest_end halt

guest spin
1: jmp 1b
guest_end spin

guest triple_fault
  triple_fault
guest_end triple_fault

// The way of an agent: announces it, then resets.
guest orderly_end
  mark 3
  mark 4
  triple_fault
guest_end orderly_end

guest reset
  movb $0xfe, %al
  outb %al, $RESET_PORT
  halt
guest_end reset

guest marks
  mark 1
  mark 2
  mark 3
  halt
guest_end marks

guest hello
  movw $SERIAL_PORT, %dx
  movb $'h', %al
  outb %al, %dx
  movb $'i', %al
  outb %al, %dx
  movb $'\n', %al
  outb %al, %dx
  mark 3
  halt
guest_end hello

// Counts in memory for ever, and tells once that it has begun.
guest counter
  movq $COUNTER, %rbx
  incq (%rbx)
  mark 3
1: incq (%rbx)
  jmp 1b
guest_end counter

// Marks for ever: each leaves the guest, so that a request to stop meets every moment of an exit.
guest chatter
  mark 3
1: mark 1
  jmp 1b
guest_end chatter

// Reads the first register of the first virtio device (its magic), writes it to COUNTER, and marks.
guest mmio_read
  map_device VIRTIO_MMIO
  movl $VIRTIO_MMIO, %ebx
  movl (%rbx), %eax
  movq $COUNTER, %rbx
  movl %eax, (%rbx)
  mark 3
  halt
guest_end mmio_read

// As above, but the four bytes go to the serial port.
guest mmio_value_to_console
  map_device VIRTIO_MMIO
  movl $VIRTIO_MMIO, %ebx
  movl (%rbx), %ecx
  movw $SERIAL_PORT, %dx
  .rept 4
  movb %cl, %al
  outb %al, %dx
  shrl $8, %ecx
  .endr
  mark 3
  halt
guest_end mmio_value_to_console

// Code where there is no memory: KVM would have to emulate what it cannot fetch.
guest run_device
  map_device VIRTIO_MMIO
  movl $(VIRTIO_MMIO + 0x1ff000), %ebx
  jmp *%rbx
guest_end run_device

// Starts the processor with APIC id 1 in real mode at 0x3000 by INIT and SIPI; it marks 2.
guest start_second
  map_device LOCAL_APIC
  leaq second(%rip), %rsi
  movl $0x3000, %edi
  movl $(second_end - second), %ecx
1: movb (%rsi), %al
  movb %al, (%rdi)
  incq %rsi
  incq %rdi
  decl %ecx
  jnz 1b
  movl $LOCAL_APIC, %ebx
  movl $0x1ff, %eax
  movl %eax, 0xf0(%rbx)        // software enable
  movl $(1 << 24), %eax
  movl %eax, 0x310(%rbx)       // destination: APIC 1
  movl $0x4500, %eax
  movl %eax, 0x300(%rbx)       // INIT
  movl $(1 << 24), %eax
  movl %eax, 0x310(%rbx)
  movl $0x4603, %eax
  movl %eax, 0x300(%rbx)       // SIPI, page 3
  mark 1
  halt
  .code16
second:
  movw $BOOT_MARK_PORT, %dx
  movb $2, %al
  outb %al, %dx
2: hlt
  jmp 2b
second_end:
  .code64
guest_end start_second

// Marks 2 at each tick of its local APIC's timer, and halts in between.
#define IDT 0x1000
#define TIMER_VECTOR 0x40
guest ticker
  map_device LOCAL_APIC
  leaq tick(%rip), %rax
  movq $(IDT + TIMER_VECTOR * 16), %rbx
  movw %ax, (%rbx)             // offset 0..15
  movw $0x10, 2(%rbx)          // code segment
  movw $0x8e00, 4(%rbx)        // present, interrupt gate
  shrq $16, %rax
  movw %ax, 6(%rbx)            // offset 16..31
  movl $0, 8(%rbx)
  movl $0, 12(%rbx)
  pushq $IDT
  subq $2, %rsp
  movw $(TIMER_VECTOR * 16 + 15), (%rsp)
  lidt (%rsp)
  addq $10, %rsp
  movl $LOCAL_APIC, %ebx
  movl $0x1ff, %eax
  movl %eax, 0xf0(%rbx)        // software enable
  movl $0xb, %eax
  movl %eax, 0x3e0(%rbx)       // divide by 1
  movl $(0x20000 | TIMER_VECTOR), %eax
  movl %eax, 0x320(%rbx)       // periodic
  movl $2000000, %eax
  movl %eax, 0x380(%rbx)       // every 2 ms at 1 GHz, KVM's bus frequency
  mark 3
  sti
1: hlt
  jmp 1b
tick:
  mark 2
  xorl %eax, %eax
  movl %eax, 0xb0(%rbx)        // end of interrupt
  iretq
guest_end ticker

  .section .note.GNU-stack, "", @progbits
