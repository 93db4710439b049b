#!/usr/bin/env bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the guest kernel (Debian's linux-source-6.1, micro.config over tinyconfig, patches/) and
# prints the path of its uncompressed, stripped vmlinux. The final configuration lies beside it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/cache.sh
source "$here/../lib/cache.sh"

readonly SOURCE_PACKAGE=linux-source-6.1
readonly SOURCE_ARCHIVE=/usr/src/$SOURCE_PACKAGE.tar.xz
readonly FRAGMENT=$here/micro.config
readonly PROGRESS_SECONDS=15
# Two thirds of the source, for machines that are not ours. Kconfig wants only its own files.
readonly LEFT_OUT=(
  '*/arch/[!x]*/*.[chS]' '*/arch/*.dts*' '*/Documentation/*/*' '*/samples/*.[ch]'
  '*/tools/'{testing,perf}'/*'
  '*/sound/*.[ch]' '*/drivers/'{gpu,media,staging,infiniband,scsi,usb,iio,clk,pinctrl}'/*.[ch]'
  '*/drivers/net/'{ethernet,wireless,can,dsa,phy,usb}'/*.[ch]'
)
JOBS=${MSB_JOBS:-$(nproc)}

need gcc gcc make make flex flex bison bison bc bc xz xz-utils patch patch strip binutils
[[ -f $SOURCE_ARCHIVE ]] || die "no $SOURCE_ARCHIVE; try: apt-get install $SOURCE_PACKAGE"
[[ -f /usr/include/libelf.h ]] || die "no libelf.h; try: apt-get install libelf-dev"

# report_progress LOG: how far make is, every PROGRESS_SECONDS, until killed. A build of minutes
# without a line looks hung to a CI and to a person.
report_progress() {
  local log=$1 started=$SECONDS steps
  exec {cache_lock}>&-
  while sleep "$PROGRESS_SECONDS"; do
    steps=$(grep -c '^  \(CC\|AS\|AR\|LD\) ' "$log" || true)
    progress "$((SECONDS - started)) s: $steps objects," \
      "now $(grep '^  [A-Z]' "$log" | tail -n 1 | tr -s ' ')"
  done
}

stop() {
  kill "$1" 2>/dev/null || true
}

# check_config FRAGMENT FINAL: Kconfig drops an option whose dependency is missing without a word;
# an option that we asked for and did not get is an error.
check_config() {
  local line name lost=()
  while IFS= read -r line; do
    name=${line%%=*}
    case $line in
      CONFIG_*=n) ! grep -q "^$name=" "$2" || lost+=("$line") ;;
      CONFIG_*=*) grep -qxF "$line" "$2" || lost+=("$line") ;;
    esac
  done <"$1"
  ((${#lost[@]} == 0)) || die "options that Kconfig did not accept: ${lost[*]}"
}

configure() {
  {
    make -s ARCH=x86_64 tinyconfig
    ./scripts/kconfig/merge_config.sh -m .config "$FRAGMENT"
    make -s ARCH=x86_64 olddefconfig
  } >config.log 2>&1 || die "configuring failed: $(tail -n 20 config.log)"
  check_config "$FRAGMENT" .config
}

# compile LOG: make vmlinux, with ccache when there is one (fixed user, host and time, relative
# paths: a changed option then recompiles only the files that see it).
compile() {
  local log=$1 cc=gcc reporter status=0
  command -v ccache >/dev/null && cc='ccache gcc'
  report_progress "$log" >/dev/null &
  reporter=$!
  on_exit stop "$reporter"
  CCACHE_NOHASHDIR=1 KBUILD_BUILD_USER=microsandbox KBUILD_BUILD_HOST=build \
    KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' \
    make ARCH=x86_64 CC="$cc" HOSTCC="$cc" -j"$JOBS" vmlinux >"$log" 2>&1 || status=$?
  stop "$reporter"
  if ((status != 0)); then
    grep -n -B2 -A12 -E 'error:|Error [0-9]|undefined reference' "$log" | tail -n 60 >&2 || true
    die "make failed with status $status"
  fi
}

build_kernel() {
  local out=$1 file
  scratch_dir kernel
  progress "unpacking $SOURCE_ARCHIVE"
  tar -C "$SCRATCH" --strip-components=1 "${LEFT_OUT[@]/#/--exclude=}" -xf "$SOURCE_ARCHIVE"
  cd "$SCRATCH"
  for file in "$here"/patches/*.patch; do
    patch -p1 --no-backup-if-mismatch --silent <"$file" || die "$(basename "$file") does not apply"
  done
  configure
  progress "compiling with $JOBS jobs"
  compile "$SCRATCH/make.log"
  strip --strip-all -o "$out/vmlinux" vmlinux
  cp .config "$out/config"
  cp System.map "$out/System.map"
  chmod 644 "$out"/*
  progress "vmlinux: $(($(stat -c %s "$out/vmlinux") / 1024)) KiB, in $SECONDS s"
}

key=$({
  package_version "$SOURCE_PACKAGE"
  gcc --version | head -n 1
  ld --version | head -n 1
} | hash_inputs "$FRAGMENT" "$here"/patches/*.patch "$here/build.sh")
entry=$(cached kernel "$key" build_kernel)
printf '%s\n' "$entry/vmlinux"
