# shellcheck shell=bash
# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# The build cache of deploy/: each result is a folder named by the hash of all that went into it,
# so a second run is instant, an old result is never mistaken for a new one, and a checkout can be
# deleted without losing an hour of builds. Sourced, never run.

shopt -s inherit_errexit

# Root of all cached results. Safe to delete as a whole at any time that no build runs.
cache_root() {
  printf '%s\n' "${MSB_CACHE:-${HOME:?HOME or MSB_CACHE must be set}/.cache/microsandbox}"
}

# progress TEXT...: one line for the reader, on stderr; stdout belongs to the result's path.
progress() {
  printf '[%s] %s\n' "$(basename "$0")" "$*" >&2
}

die() {
  progress "error: $*"
  exit 1
}

# need PROGRAM PACKAGE [PROGRAM PACKAGE...]: says what to install before anything slow starts.
need() {
  local missing=()
  while (($#)); do
    command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  ((${#missing[@]} == 0)) || die "missing tools; try: apt-get install ${missing[*]}"
}

# package_version PACKAGE: the version dpkg has installed.
package_version() {
  dpkg-query --show --showformat='${Package}=${Version}\n' "$1" 2>/dev/null ||
    die "package $1 is not installed; try: apt-get install $1"
}

# hash_inputs FILE... : sha256 over names and contents of the files and over the text on stdin
# (versions, options). Names count without their folder, so that two checkouts share one cache.
hash_inputs() {
  {
    cat
    local file
    for file in "$@"; do
      printf '%s %s\n' "$(basename "$file")" "$(sha256sum <"$file")"
    done
  } | sha256sum | cut -d' ' -f1
}

# cached KIND KEY BUILD: prints the folder <root>/KIND/KEY. When it is not there yet, calls
# `BUILD STAGING` with an empty folder to fill and renames that into place, so that nobody ever sees
# half a result. Builders of one kind wait for each other; what a failed build leaves is removed.
cached() {
  local kind=$1 key=$2 build=$3
  local parent entry staging
  parent=$(cache_root)/$kind
  entry=$parent/$key
  if [[ ! -d $entry ]]; then
    mkdir -p "$parent"
    exec {cache_lock}>"$parent/.lock"
    flock --nonblock "$cache_lock" || {
      progress "waiting for another build of $kind"
      flock "$cache_lock"
    }
    if [[ ! -d $entry ]]; then
      rm -rf "$parent"/.staging.* # of a builder that was killed: we hold the lock
      staging=$(mktemp -d "$parent/.staging.XXXXXX")
      on_exit rm -rf "$staging"
      "$build" "$staging" >&2
      chmod 755 "$staging"
      mv -T "$staging" "$entry"
    fi
    exec {cache_lock}>&-
  fi
  printf '%s\n' "$entry"
}

# on_exit COMMAND ARG...: runs it when this (sub)shell ends, last registered first, also on failure.
# A subshell starts with an empty list: what its parent registered is the parent's to clean.
on_exit() {
  if [[ ${exit_owner:-} != "$BASHPID" ]]; then
    exit_owner=$BASHPID
    exit_commands=
    trap 'eval "$exit_commands"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
  fi
  exit_commands="$(printf '%q ' "$@")"$'\n'"$exit_commands"
}

# scratch_dir: a temporary folder that goes when the caller's shell ends. Sets SCRATCH rather than
# printing, as a command substitution would be the shell that ends.
scratch_dir() {
  SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/msb-$1.XXXXXX")
  on_exit rm -rf "$SCRATCH"
}
