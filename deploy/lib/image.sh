# shellcheck shell=bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# What every guest image of deploy/images shares: its base files, its description and its EROFS.
# Sourced after cache.sh.

readonly IMAGE_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# One time and one UUID for all files and file systems: the same inputs make the same bytes.
readonly IMAGE_EPOCH=1767225600 # 2026-01-01 00:00:00 UTC
readonly IMAGE_UUID=6d736264-0000-4000-8000-000000000001

# image_mountpoints ROOT: folders that the agent mounts on, in every image.
image_mountpoints() {
  mkdir -p "$1"/{proc,sys,dev,run,tmp,root}
  chmod 1777 "$1/tmp"
  chmod 700 "$1/root"
}

# image_host_files ROOT: names that do not depend on the machine that built the image. The agent
# writes the sandbox's own hostname and resolv.conf over them.
image_host_files() {
  printf 'sandbox\n' >"$1/etc/hostname"
  printf '127.0.0.1\tlocalhost sandbox\n::1\tlocalhost ip6-localhost\n' >"$1/etc/hosts"
  : >"$1/etc/resolv.conf"
}

# write_image_json FILE NAME CMD: the part of an OCI image configuration that starting needs.
write_image_json() {
  cat >"$1" <<JSON
{
  "name": "$2",
  "format": "erofs",
  "architecture": "amd64",
  "env": {"PATH": "$IMAGE_PATH", "LANG": "C.UTF-8", "HOME": "/root", "TERM": "xterm"},
  "entrypoint": [],
  "cmd": ["$3"],
  "user": "",
  "workdir": "/"
}
JSON
}

# make_erofs ROOT FILE: uncompressed, because in a guest without hardware virtualisation each block
# would be decompressed by an emulated processor (figures in images/README.md).
make_erofs() {
  mkfs.erofs --quiet -T "$IMAGE_EPOCH" -U "$IMAGE_UUID" -x 1 "$2" "$1" >/dev/null
}

# become_root ARGS...: files of an image belong to several users. A caller who is not root starts
# the script again in a user namespace with its subordinate ids (/etc/subuid).
become_root() {
  ((EUID == 0)) || exec unshare --map-root-user --map-auto --mount -- "$0" "$@"
}
