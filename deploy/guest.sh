#!/usr/bin/env bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# guest.sh --out DIR [--agent BINARY]: builds or finds in the cache all that a sandbox is made of,
# and links it into DIR, which is what msbd calls its assets:
#   vmlinux  disks/<MiB>.ext4  images/{default,busybox}/{rootfs.erofs,image.json}  qemu/
#   initramfs.cpio (with --agent; a copy, as it changes with each build of the agent)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/cache.sh
source "$here/lib/cache.sh"

usage() {
  die "usage: guest.sh --out DIR [--agent BINARY]"
}

out='' agent=''
while (($#)); do
  (($# > 1)) || usage
  case $1 in
    --out) out=$2 ;;
    --agent) agent=$2 ;;
    *) usage ;;
  esac
  shift 2
done
[[ -n $out ]] || usage

# place NAME COMMAND...: runs a builder, whose last line of output is a path, and links DIR/NAME to
# it. The link is replaced in one step: a daemon that starts meanwhile sees the old one or the new.
place() {
  local name=$1 started=$SECONDS path
  shift
  path=$("$@" | tail -n 1)
  [[ -e $path ]] || die "$* named $path, which is not there"
  mkdir -p "$(dirname "$out/$name")"
  ln -sfn "$path" "$out/.new-link"
  mv -T "$out/.new-link" "$out/$name"
  progress "$name: $((SECONDS - started)) s"
}

mkdir -p "$out"
place vmlinux "$here/kernel/build.sh"
place images/busybox "$here/images/build-busybox.sh"
place images/default "$here/images/build-default.sh"
place disks "$here/images/build-disk-templates.sh"
place qemu "$here/qemu/build-closure.sh"
if [[ -n $agent ]]; then
  "$here/images/build-initramfs.sh" "$agent" "$out/initramfs.cpio" >/dev/null
  progress "initramfs.cpio: $(($(stat -c %s "$out/initramfs.cpio") / 1024)) KiB"
fi
printf '%s\n' "$out"
