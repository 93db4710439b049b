#!/usr/bin/env bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the empty ext4 disk that becomes a sandbox's writable layer: copied sparsely, grown or not,
# mounted by the agent. Prints the path of disk-template.ext4.
#   MSB_DISK_SIZE   size that the file system has, default 4G
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/cache.sh
source "$here/../lib/cache.sh"
# shellcheck source=deploy/lib/image.sh
source "$here/../lib/image.sh"

PATH=$PATH:/usr/sbin:/sbin
need mkfs.ext4 e2fsprogs
readonly SIZE=${MSB_DISK_SIZE:-4G}
# A journal, because a sandbox may be killed at any moment and its disk is used again without a
# check; a small one, as it is one guest's. No metadata checksums: each block would cost a
# table-driven CRC on processors that emulate it, and the host's disk has its own. Nothing lazy: the
# file starts as holes, so inode tables are zero already and the guest need not write them after
# each mount.
readonly OPTIONS=(
  -O 'has_journal,extents,uninit_bg,dir_index,^metadata_csum,^64bit,resize_inode'
  -J size=16 -m 0
  -E "lazy_itable_init=0,lazy_journal_init=1,root_owner=0:0,hash_seed=$IMAGE_UUID"
  -U "$IMAGE_UUID" -L msb-disk
)

build_disk() {
  local file=$1/disk-template.ext4
  truncate --size="$SIZE" "$file"
  E2FSPROGS_FAKE_TIME=$IMAGE_EPOCH mkfs.ext4 -q -F "${OPTIONS[@]}" "$file"
  fallocate --dig-holes "$file"
  chmod 644 "$file"
  progress "$SIZE, $(du -k "$file" | cut -f1) KiB allocated"
}

key=$({
  package_version e2fsprogs
  printf '%s\n' "$SIZE"
} | hash_inputs "$here/build-disk-template.sh" "$here/../lib/image.sh")
entry=$(cached disks "$key" build_disk)
printf '%s\n' "$entry/disk-template.ext4"
