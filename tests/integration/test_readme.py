# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""The tour of the README does what it says."""
import os
import pathlib
import re
import subprocess

from conftest import BUILD

README = pathlib.Path(__file__).parents[2] / "README.md"


def tour():
    """(command, the output that the README shows) of each line of the tour."""
    section = README.read_text().split("## Five minutes")[1].split("\n## ")[0]
    steps = []
    for line in re.search(r"```console\n(.*?)```", section, re.S)[1].splitlines():
        if line.startswith("$ "):
            steps.append((line[2:].split("   #")[0].strip(), []))
        else:
            steps[-1][1].append(line)
    return steps


def test_the_five_minutes_of_the_readme(daemon, tmp_path):
    environment = dict(daemon.environment, PATH=f"{BUILD}/sdks/msbctl:{os.environ['PATH']}")
    script = "set -e\n"
    for number, (command, _) in enumerate(tour()):
        if command == "msbctl shell box":
            command = "echo exit | script -qec 'msbctl shell box' /dev/null"
        script += f"{{ {command}; }} > {number}.out\n"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, timeout=300,
                          capture_output=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr.decode()
    for number, (command, shown) in enumerate(tour()):
        if shown:
            assert (tmp_path / f"{number}.out").read_text().splitlines() == shown, command

