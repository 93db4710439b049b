#!/usr/bin/env bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the default image: a small Debian 12 with Python, Git and curl, from Debian's packages as
# the host's apt finds them. Prints the folder with rootfs.erofs and image.json.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/cache.sh
source "$here/../lib/cache.sh"
# shellcheck source=deploy/lib/image.sh
source "$here/../lib/image.sh"
become_root "$@"

readonly SUITE=bookworm
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
# Beyond mmdebstrap's minbase (bash, coreutils, apt, tar, gzip, grep, sed, ...).
readonly PACKAGES=(
  ca-certificates curl git python3 python3-pip python3-venv
  iproute2 iputils-ping less netbase openssh-client procps unzip xz-utils
)

need mmdebstrap mmdebstrap mkfs.erofs erofs-utils apt-get apt
[[ -f $KEYRING ]] || die "no $KEYRING; try: apt-get install debian-archive-keyring"

# host_sources: the host's own apt lines for Debian's SUITE, whatever mirror they name. Empty on a
# host that is not Debian SUITE, or never ran `apt-get update`: then mmdebstrap uses deb.debian.org.
host_sources() {
  # shellcheck disable=SC2016  # apt expands these
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' | sort -u | sed -E "/ $SUITE(-updates|-security)? /!d"
}

# host_apt_options: how the host reaches its mirror (proxy, validity checks), for mmdebstrap's apt.
host_apt_options() {
  apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries)' || true
}

# strip_tree ROOT: what a sandbox never reads. Licences stay.
strip_tree() {
  local root=$1
  rm -rf "$root"/usr/share/{man,info,groff,lintian,linda,locale,i18n/locales,bug,doc-base} \
    "$root"/usr/share/bash-completion "$root"/var/lib/apt/lists/* "$root"/var/lib/dpkg/*-old \
    "$root"/var/cache/{apt,debconf,ldconfig}/* "$root"/var/log/* "$root"/etc/*- \
    "$root"/tmp/* "$root"/run/*
  find "$root/usr/share/doc" -mindepth 1 ! -type d ! -name copyright -delete
  find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete
  mkdir -p "$root/usr/share/man/man1" "$root/var/lib/apt/lists/partial"
}

# configure_tree ROOT: what a user meets first.
configure_tree() {
  local root=$1
  cat >"$root/etc/apt/sources.list.d/debian.sources" <<SOURCES
Types: deb
URIs: http://deb.debian.org/debian
Suites: $SUITE $SUITE-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: $SUITE-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  rm -f "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/*.list \
    "$root/etc/apt/apt.conf.d/99mmdebstrap" # the host's way to its mirror
  # The sandbox is the environment: pip may install into it, apt need not keep its downloads.
  printf '[global]\nbreak-system-packages = true\nroot-user-action = ignore\n' >"$root/etc/pip.conf"
  printf 'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n' \
    >"$root/etc/apt/apt.conf.d/90sandbox"
  printf 'path-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n' \
    >"$root/etc/dpkg/dpkg.cfg.d/90sandbox"
  : >"$root/etc/machine-id"
  chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash app
}

# compile_python ROOT: byte code for the whole library, stamped with the one time that all files of
# the image get. Byte code with any other stamp would be compiled anew at each start.
compile_python() {
  local root=$1
  find "$root/usr/lib/python3"* -name __pycache__ -prune -exec rm -rf {} +
  find "$root/usr/lib/python3"* -name '*.py' -exec touch --no-dereference -d "@$IMAGE_EPOCH" {} +
  env -u SOURCE_DATE_EPOCH \
    chroot "$root" python3 -m compileall -q -j 0 /usr/lib/python3* >/dev/null ||
    progress "some Python files do not compile (templates and tests), as in Debian"
}

# finish_tree ROOT FILE: called by mmdebstrap once the packages are in.
finish_tree() {
  local root=$1 file=$2 view
  configure_tree "$root"
  compile_python "$root"
  strip_tree "$root"
  image_mountpoints "$root"
  image_host_files "$root"
  # mmdebstrap has proc, sys and dev mounted there; a bind mount shows the tree without them.
  view=$(mktemp -d)
  mount --bind "$root" "$view"
  make_erofs "$view" "$file"
  umount "$view"
  rmdir "$view"
}

build_image() {
  local out=$1
  scratch_dir default-image
  host_sources >"$SCRATCH/sources.list"
  host_apt_options >"$SCRATCH/apt.conf"
  progress "installing Debian $SUITE with ${PACKAGES[*]}"
  local sources=() finish
  [[ ! -s $SCRATCH/sources.list ]] || sources=("$SCRATCH/sources.list")
  # shellcheck disable=SC2016  # mmdebstrap's shell expands "$1", the tree's root
  finish=$(printf '%q --finish "$1" %q' "$here/build-default.sh" "$out/rootfs.erofs")
  TMPDIR=$SCRATCH SOURCE_DATE_EPOCH=$IMAGE_EPOCH mmdebstrap --quiet --variant=minbase \
    --format=null --keyring="$KEYRING" --aptopt="$SCRATCH/apt.conf" \
    --include="${PACKAGES[*]}" --customize-hook="$finish" \
    "$SUITE" - "${sources[@]}"
  write_image_json "$out/image.json" default /bin/bash
}

# package_versions: what apt would install now, so that an update of a package makes a new image.
package_versions() {
  apt-cache policy "${PACKAGES[@]}" libc6 bash coreutils 2>/dev/null |
    grep -E '^[^ ]|Candidate:' || true
}

if [[ ${1:-} == --finish ]]; then
  finish_tree "$2" "$3"
  exit
fi
key=$({
  package_version mmdebstrap
  package_version erofs-utils
  package_versions
} | hash_inputs "$here/build-default.sh" "$here/../lib/image.sh")
cached images "$key" build_image
