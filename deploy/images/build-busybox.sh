#!/usr/bin/env bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the small image that tests use: one static busybox with all its applets, and a user `app`.
# Prints the folder with rootfs.erofs and image.json.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/cache.sh
source "$here/../lib/cache.sh"
# shellcheck source=deploy/lib/image.sh
source "$here/../lib/image.sh"
become_root "$@"

need busybox busybox-static mkfs.erofs erofs-utils
BUSYBOX=$(command -v busybox)
readonly BUSYBOX

install_busybox() {
  local root=$1 applet path
  mkdir -p "$root"/{bin,sbin,etc,home,opt} "$root"/usr/{bin,sbin} "$root"/var/{log,tmp}
  install -m 755 "$BUSYBOX" "$root/bin/busybox"
  while IFS= read -r path; do
    applet=$root/$path
    [[ -e $applet ]] || ln -s /bin/busybox "$applet"
  done < <("$BUSYBOX" --list-full)
  [[ -x $root/bin/sh ]] || die "this busybox has no sh"
}

write_accounts() {
  local etc=$1/etc
  printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'app:x:1000:1000:app:/home/app:/bin/sh' \
    'nobody:x:65534:65534:nobody:/:/bin/false' >"$etc/passwd"
  printf '%s\n' 'root:x:0:' 'tty:x:5:' 'app:x:1000:' 'nogroup:x:65534:' >"$etc/group"
  printf '%s\n' /bin/sh >"$etc/shells"
  install -d -m 755 -o 1000 -g 1000 "$1/home/app"
  chmod 1777 "$1/var/tmp"
}

build_image() {
  local out=$1
  scratch_dir busybox
  local root=$SCRATCH/root
  mkdir "$root"
  install_busybox "$root"
  image_mountpoints "$root"
  image_host_files "$root"
  write_accounts "$root"
  make_erofs "$root" "$out/rootfs.erofs"
  write_image_json "$out/image.json" busybox /bin/sh
}

key=$({
  sha256sum <"$BUSYBOX"
  package_version erofs-utils
} | hash_inputs "$here/build-busybox.sh" "$here/../lib/image.sh")
cached images "$key" build_image
