#!/usr/bin/env bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds QEMU from Debian's source package, with patches/ and no more than the engine qemu uses
# (devices.mak; TCG and KVM, vhost-user, seccomp), and prints the folder of its qemu-system-x86_64.
# The version is that of the installed qemu-system-x86, the same one that bare QEMU is measured with.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/cache.sh
source "$here/../lib/cache.sh"

readonly PROGRESS_SECONDS=15
JOBS=${MSB_JOBS:-$(nproc)}
# Everything that has a switch is off but what follows; a device is in devices.mak or not there.
readonly OPTIONS=(
  --target-list=x86_64-softmmu --without-default-features --without-default-devices
  --with-devices-x86_64=msb --enable-system --disable-user --enable-tcg --enable-kvm
  --enable-vhost-user --enable-vhost-net --enable-seccomp --enable-malloc-trim --enable-fdt=system
  --disable-werror --disable-docs --disable-tools --disable-install-blobs
  --with-git-submodules=ignore
)

need gcc gcc ninja ninja-build meson meson pkg-config pkg-config patch patch xz xz-utils
for library in glib-2.0:libglib2.0-dev pixman-1:libpixman-1-dev libseccomp:libseccomp-dev; do
  pkg-config --exists "${library%%:*}" || die "no ${library%%:*}; try: apt-get install ${library#*:}"
done
[[ -f /usr/include/libfdt.h ]] || die "no libfdt.h; try: apt-get install libfdt-dev"

VERSION=$(dpkg-query --show --showformat='${source:Version}' qemu-system-x86 2>/dev/null) ||
  die "package qemu-system-x86 is not installed; try: apt-get install qemu-system-x86"
readonly VERSION

# fetch_source: downloads the source package into the working folder. Whoever installed the binary
# package need not have its sources listed: apt gets a configuration of its own, with the host's
# archives and keys. apt checks the files against the archive's signature.
fetch_source() {
  mkdir -p sources lists/partial
  local list
  for list in /etc/apt/sources.list.d/*.sources; do
    [[ ! -f $list ]] || sed 's/^Types:.*/Types: deb-src/' "$list" >"sources/${list##*/}"
  done
  for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [[ ! -f $list ]] || sed -n 's/^deb\(-src\)\? /deb-src /p' "$list" | sort -u >"sources/${list##*/}"
  done
  {
    printf 'Dir::Etc::SourceList "/dev/null";\n'
    printf 'Dir::Etc::SourceParts "%s";\n' "$PWD/sources"
    printf 'Dir::State::Lists "%s";\n' "$PWD/lists"
    printf 'APT::Sandbox::User "root";\n' # the folder is nobody else's
  } >apt.conf
  progress "fetching the source of qemu $VERSION"
  {
    apt-get -c "$PWD/apt.conf" -q update
    apt-get -c "$PWD/apt.conf" -q source --download-only "qemu=$VERSION"
  } >fetch.log 2>&1 || die "no source of qemu $VERSION: $(tail -n 5 fetch.log)" \
    "(an old qemu-system-x86? apt-get update, apt-get install qemu-system-x86)"
}

# unpack_source: into qemu/, with Debian's patches and ours.
unpack_source() {
  local patch
  mkdir qemu
  tar -xf qemu_*.orig.tar.xz -C qemu --strip-components=1
  tar -xf qemu_*.debian.tar.xz -C qemu
  while read -r patch; do
    patch -s -d qemu -p1 <"qemu/debian/patches/$patch" || die "Debian's $patch does not apply"
  done < <(sed 's/#.*//; /^[[:space:]]*$/d' qemu/debian/patches/series)
  for patch in "$here"/patches/*.patch; do
    patch -s -d qemu -p1 <"$patch" || die "${patch##*/} does not apply"
  done
}

# report_progress LOG: how far ninja is, every PROGRESS_SECONDS, until killed.
report_progress() {
  exec {cache_lock}>&-
  while sleep "$PROGRESS_SECONDS"; do
    progress "compiling QEMU: $(grep -o '^\[[0-9/]*\]' "$1" | tail -n 1)"
  done
}

stop() {
  kill "$1" 2>/dev/null || true
}

build_qemu() {
  local out=$1 compiler=gcc reporter status=0
  scratch_dir qemu
  cd "$SCRATCH"
  fetch_source
  unpack_source
  cp "$here/devices.mak" qemu/configs/devices/x86_64-softmmu/msb.mak
  mkdir build
  cd build
  command -v ccache >/dev/null && compiler='ccache gcc'
  ../qemu/configure --cc="$compiler" --meson="$(command -v meson)" "${OPTIONS[@]}" \
    >configure.log 2>&1 || die "configuring failed: $(tail -n 20 configure.log)"
  report_progress build.log >/dev/null &
  reporter=$!
  on_exit stop "$reporter"
  CCACHE_BASEDIR=$SCRATCH CCACHE_NOHASHDIR=1 ninja -j "$JOBS" qemu-system-x86_64 >build.log 2>&1 ||
    status=$?
  stop "$reporter"
  ((status == 0)) || die "compiling failed: $(grep -A 20 FAILED build.log | head -n 40)"
  strip -o "$out/qemu-system-x86_64" qemu-system-x86_64
}

key=$({
  printf '%s\n' "$VERSION" "${OPTIONS[@]}"
  gcc --version | head -n 1
} | hash_inputs "$here/build.sh" "$here/devices.mak" "$here"/patches/*.patch)
cached qemu-program "$key" build_qemu
