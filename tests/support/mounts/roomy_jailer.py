# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""A jailer whose jail has room for an msb-fs that a sanitizer has built: with the libraries of the host
that it is linked to (a sanitizer's program is not static), /proc, and memory for what it remembers.

    roomy_jailer.py JAILER MSB_FS JAILER'S ARGUMENTS...
"""
import os
import re
import subprocess
import sys

JAILER, MSB_FS, *words = sys.argv[1:]
MORE_MEMORY = 4


def library_folders():
    told = subprocess.run(["/usr/bin/ldd", MSB_FS], check=True, capture_output=True, text=True).stdout
    return sorted({os.path.dirname(path) for path in re.findall(r"(/\S+) \(0x", told)})


def roomier(words):
    end = words.index("--")
    flags, command = words[:end], words[end:]
    if command[1] != os.path.basename(MSB_FS):
        return words
    flags = [f"--memory-max={int(word.split('=')[1]) * MORE_MEMORY}"
             if word.startswith("--memory-max=") else word for word in flags]
    if "--proc" not in flags:
        flags.append("--proc")
    return flags + [f"--bind-ro={folder}:{folder}" for folder in library_folders()] + command


os.execv(JAILER, ["msb-jailer", *roomier(words)])
