#!/usr/bin/env bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# smoke.sh ASSETS: boots ASSETS/vmlinux under TCG to a static init, in a root that holds nothing but
# ASSETS/qemu and the two files of the guest, as msb-vmm's jail will, and looks for the init's word.
# ASSETS is what guest.sh made. Needs root or user namespaces; takes about a second.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/cache.sh
source "$here/../lib/cache.sh"

assets=$(realpath "${1:?usage: smoke.sh ASSETS}")
readonly TIMEOUT_SECONDS=60
readonly WORD='smoke: init runs'
need gcc gcc timeout coreutils unshare util-linux

# The guest's init: says its word on the console and ends the machine by a triple fault (reboot=t).
build_init() {
  gcc -O2 -static -x c -o "$1" - <<C
#include <sys/reboot.h>
#include <unistd.h>
int main(void) {
  static const char word[] = "$WORD\n";
  (void)!write(1, word, sizeof word - 1);
  return reboot(RB_AUTOBOOT);
}
C
}

# In a namespace of its own: an empty root with the closure read-only at /qemu, the guest at /guest.
boot_in_jail() {
  local root=$1
  mkdir -p "$root"/{qemu,guest,dev}
  mount --bind -o ro "$assets/qemu/" "$root/qemu"
  cp "$assets/vmlinux" "$root/guest/vmlinux"
  cp "$SCRATCH/initramfs.cpio" "$root/guest/"
  timeout "$TIMEOUT_SECONDS" chroot "$root" /qemu/lib/ld-linux-x86-64.so.2 \
    --library-path /qemu/lib /qemu/bin/qemu-system-x86_64 -L /qemu/share \
    -M microvm,acpi=off,x-option-roms=off,memory-backend=ram -accel tcg -cpu max,-erms,-fsrm \
    -m 128 -object memory-backend-memfd,id=ram,size=128M,share=on \
    -global virtio-mmio.force-legacy=false -nodefaults -no-user-config -display none \
    -serial stdio -no-reboot -kernel /guest/vmlinux -initrd /guest/initramfs.cpio \
    -append 'console=ttyS0 quiet reboot=t panic=-1 noreplace-smp'
}

scratch_dir smoke
build_init "$SCRATCH/init"
"$here/../images/build-initramfs.sh" "$SCRATCH/init" "$SCRATCH/initramfs.cpio" >/dev/null
export SCRATCH assets TIMEOUT_SECONDS
map=()
((EUID == 0)) || map=(--map-root-user)
started=$(date +%s%3N)
unshare --mount "${map[@]}" bash -euc "$(declare -f boot_in_jail); boot_in_jail '$SCRATCH/root'" \
  </dev/null >"$SCRATCH/console" || die "QEMU failed: $(tail -n 20 "$SCRATCH/console")"
grep -qF "$WORD" "$SCRATCH/console" || die "init said nothing: $(tail -n 20 "$SCRATCH/console")"
progress "booted, ran init and ended in $(($(date +%s%3N) - started)) ms"
