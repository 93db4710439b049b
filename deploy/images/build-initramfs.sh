#!/usr/bin/env bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# build-initramfs.sh AGENT OUT: packs the static binary AGENT as /init, with /dev/console for its
# first messages and nothing else, into the uncompressed cpio OUT. The same agent makes the same
# bytes, and no privilege is needed: the archive is written here rather than by cpio, which would
# ask for a real device node.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/cache.sh
source "$here/../lib/cache.sh"

(($# == 2)) || die "usage: build-initramfs.sh AGENT_BINARY OUT"
agent=$1 out=$2
[[ -f $agent ]] || die "no agent binary at $agent"
need readelf binutils
! readelf --program-headers --wide "$agent" | grep -q INTERP ||
  die "$agent needs a dynamic loader; the initramfs has none, so link it statically"

pad() { # pad BYTES: zeros up to the next multiple of four
  head -c "$(((4 - $1 % 4) % 4))" /dev/zero
}

inode=0
# entry NAME MODE(octal) SIZE MAJOR MINOR: a "newc" header (kernel: driver-api/early-userspace/
# buffer-format.rst); owner root, time 0. The content follows from the caller.
entry() {
  local name=$1 mode=$2 size=$3 major=$4 minor=$5
  inode=$((inode + 1))
  printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X' \
    "$inode" "$((8#$mode))" 0 0 1 0 "$size" 0 0 "$major" "$minor" "$((${#name} + 1))" 0
  printf '%s\0' "$name"
  pad "$((110 + ${#name} + 1))"
}

write_archive() {
  local size
  size=$(stat -c %s "$agent")
  entry dev 40755 0 0 0
  entry dev/console 20600 0 5 1
  entry init 100755 "$size" 0 0
  cat "$agent"
  pad "$size"
  entry TRAILER!!! 0 0 0 0
}

staged=$(mktemp "$out.XXXXXX")
on_exit rm -f "$staged"
write_archive >"$staged"
chmod 644 "$staged"
mv "$staged" "$out"
printf '%s\n' "$out"
