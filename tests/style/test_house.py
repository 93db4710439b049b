# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""What a reader may rely on in every file and folder."""
import re

CODE = {".h", ".cc", ".c", ".S", ".py", ".sh", ".proto", ".cmake"}
BANNED_STEMS = {"util", "utils", "common", "helper", "helpers", "misc", "manager"}


def code_files(root, files):
    return [path for path in files
            if path.suffix in CODE and path.relative_to(root).parts[0] != "tests" or
            path.suffix in {".h", ".cc"}]


def test_every_source_names_its_licence(root, files):
    wrong = [path.relative_to(root).as_posix() for path in code_files(root, files)
             if "SPDX-License-Identifier: Apache-2.0" not in path.read_text()[:400]]
    assert not wrong, wrong


def test_no_file_is_a_drawer(root, files):
    wrong = [path.relative_to(root).as_posix() for path in files if path.stem in BANNED_STEMS]
    assert not wrong, wrong


def test_lines_of_code_have_at_most_100_columns(root, files):
    wrong = []
    for path in files:
        if path.suffix not in {".h", ".cc", ".proto", ".py"}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if len(line) > 105 or (len(line) > 100 and path.suffix in {".h", ".cc"}
                                   and "http" not in line):
                wrong.append(f"{path.relative_to(root)}:{number}: {len(line)}")
    assert not wrong, "\n".join(wrong)


def test_a_file_is_read_in_one_go(root, files):
    wrong = [f"{path.relative_to(root)}: {lines}" for path in files
             if path.suffix in {".h", ".cc"}
             and (lines := path.read_text().count("\n")) > (900 if "_test" in path.stem else 600)]
    assert not wrong, "\n".join(wrong)


def test_headers_are_guarded_by_their_path(root, files):
    wrong = []
    for path in files:
        if path.suffix != ".h":
            continue
        name = path.relative_to(root).as_posix()
        guard = "MSB_" + re.sub(r"[^A-Z0-9]", "_", name.upper()) + "_"
        if f"#ifndef {guard}" not in path.read_text():
            wrong.append(f"{name}: {guard}")
    assert not wrong, "\n".join(wrong)


def test_folder_readmes_are_short(root, files):
    wrong = [path.relative_to(root).as_posix() for path in files
             if path.name == "README.md" and path.parent != root
             and path.read_text().count("\n") > 25]
    assert not wrong, wrong


def test_every_folder_with_code_says_what_it_is_for(root, files):
    """At the latest two levels up."""
    wrong = set()
    for path in files:
        if path.suffix != ".cc" or path.relative_to(root).parts[0] == "tests":
            continue
        places = [path.parent, path.parent.parent]
        if not any((place / "README.md").is_file() for place in places if place != root):
            wrong.add(path.parent.relative_to(root).as_posix())
    assert not wrong, sorted(wrong)


def test_no_unfinished_business(root, files):
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    wrong = [path.relative_to(root).as_posix() for path in files
             if path.suffix in CODE | {".md", ".toml", ".txt"} and marks.search(path.read_text())]
    assert not wrong, wrong


def test_the_repository_speaks_of_the_project_alone(root, files):
    place = re.compile(r"/wo" r"rk/(main|shared)|\.\./sha" r"red|/tmp/bui" r"ld-|/tmp/gu" r"est")
    wrong = []
    for path in files:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if place.search(text):
            wrong.append(path.relative_to(root).as_posix())
    assert not wrong, wrong
