#!/usr/bin/env bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# Collects our qemu-system-x86_64 (build.sh), its loader, libraries and the firmware of `-M microvm`
# in one folder that a jail with an otherwise empty root can bind-mount read-only. Prints the folder.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/cache.sh
source "$here/../lib/cache.sh"

need ldd libc-bin
QEMU=$("$here/build.sh")/qemu-system-x86_64
LOADER=$(readlink -f /lib64/ld-linux-x86-64.so.2)
readonly QEMU LOADER
readonly FIRMWARE=/usr/share/qemu
# What microvm without ACPI starts.
readonly FIRMWARE_FILES=(qboot.rom)
# What msb-vmm asks of it. A QEMU without one of them is an error here, not at the first sandbox.
readonly DEVICES=(vhost-user-vsock-device vhost-user-blk vhost-user-rng vhost-user-fs-device
  virtio-net-device virtio-balloon-device)

# libraries FILE...: the paths of all shared objects that they load, the loader left out.
libraries() {
  ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u
}

# run_closed DIR ARGS...: runs QEMU as a jail would.
run_closed() {
  local dir=$1
  shift
  env -i "$dir/lib/$(basename "$LOADER")" --inhibit-cache --library-path "$dir/lib" \
    "$dir/bin/qemu-system-x86_64" -L "$dir/share" "$@" </dev/null
}

verify() {
  local dir=$1 device offered
  "$dir/lib/$(basename "$LOADER")" --inhibit-cache --library-path "$dir/lib" \
    --list "$dir/bin/qemu-system-x86_64" | awk '{ print $3 }' | grep '^/' |
    grep -v "^$dir/" && die "a library comes from outside the closure"
  offered=$(run_closed "$dir" -M microvm -accel tcg -device help)
  for device in "${DEVICES[@]}"; do
    grep -q "^name \"$device\", bus virtio-bus" <<<"$offered" || die "this QEMU has no $device"
  done
}

build_closure() {
  local out=$1 library file
  mkdir -p "$out/bin" "$out/lib" "$out/share"
  cp --reflink=auto "$QEMU" "$out/bin/qemu-system-x86_64"
  cp --reflink=auto "$LOADER" "$out/lib/"
  while IFS= read -r library; do
    cp --reflink=auto --dereference "$library" "$out/lib/"
  done < <(libraries "$QEMU")
  for file in "${FIRMWARE_FILES[@]}"; do
    cp --dereference "$FIRMWARE/$file" "$out/share/"
  done
  # The built-in default of QEMU's data folder, so that it is found without -L as well.
  ln -s . "$out/share/qemu"
  verify "$out"
}

key=$({
  package_version qemu-system-data
  libraries "$QEMU" | xargs sha256sum
  sha256sum "$QEMU" "$LOADER"
} | hash_inputs "$here/build-closure.sh")
cached qemu "$key" build_closure
