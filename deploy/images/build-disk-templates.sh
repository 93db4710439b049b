#!/usr/bin/env bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the empty ext4 disks that become sandboxes' writable layers, a ladder of sizes: the daemon
# copies the largest that fits (sparsely) and gives it its size; what is missing the guest grows at its
# boot. Prints the path of a folder with <MiB>.ext4.
#   MSB_DISK_SIZES  in MiB, from 16; default "16 64 256 1024 4096 16384 65536"
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/cache.sh
source "$here/../lib/cache.sh"
# shellcheck source=deploy/lib/image.sh
source "$here/../lib/image.sh"

PATH=$PATH:/usr/sbin:/sbin
need mkfs.ext4 e2fsprogs
read -r -a SIZES <<<"${MSB_DISK_SIZES:-16 64 256 1024 4096 16384 65536}"
readonly SIZES

# A journal, because a sandbox may be killed at any moment and its disk is used again without a
# check; a small one, as it is one guest's. No metadata checksums: each block would cost a
# table-driven CRC on processors that emulate it, and the host's disk has its own. Nothing lazy: the
# file starts as holes, so inode tables are zero already and the guest need not write them after
# each mount. Blocks of 4 KiB in all of them, since the small ones may be grown large: ext4 keeps its
# block size for ever.
readonly OPTIONS=(
  -O 'has_journal,extents,uninit_bg,dir_index,^metadata_csum,^64bit,resize_inode'
  -b 4096 -m 0
  -E "lazy_itable_init=0,lazy_journal_init=1,root_owner=0:0,hash_seed=$IMAGE_UUID"
  -U "$IMAGE_UUID" -L msb-disk
)

# MiB of journal for a disk of $1 MiB: 4 is the least that ext4 takes. A transaction has at most a
# quarter of it, and one that grows the file system touches each of the blocks that are reserved for
# group descriptors: up to 1024 on a large disk.
journal_of() {
  if (($1 < 256)); then echo 4; elif (($1 < 1024)); then echo 8; elif (($1 < 16384)); then echo 16
  else echo 32; fi
}

build_disk() {
  local mib=$1 file=$2
  truncate --size="${mib}M" "$file"
  E2FSPROGS_FAKE_TIME=$IMAGE_EPOCH mkfs.ext4 -q -F "${OPTIONS[@]}" \
    -J "size=$(journal_of "$mib")" "$file"
  fallocate --dig-holes "$file"
  chmod 644 "$file"
  progress "$mib MiB, $(du -k "$file" | cut -f1) KiB allocated"
}

build_disks() {
  local mib
  mkdir "$1/templates"
  for mib in "${SIZES[@]}"; do build_disk "$mib" "$1/templates/$mib.ext4"; done
}

key=$({
  package_version e2fsprogs
  printf '%s\n' "${SIZES[@]}"
} | hash_inputs "$here/build-disk-templates.sh" "$here/../lib/image.sh")
entry=$(cached disks "$key" build_disks)
printf '%s\n' "$entry/templates"
