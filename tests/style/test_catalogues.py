# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Lists that stand in several places say the same."""
import re


def reasons_in_code(root):
    text = (root / "base/reasons.inc").read_text()
    return {name: int(number)
            for number, name in re.findall(r"^MSB_REASON\(\w+, (\d+), (\w+), \w+\)", text, re.M)}


def test_reasons_are_the_same_in_code_and_api(root):
    text = (root / "proto/msb/v1/error.proto").read_text()
    api = {name: int(number) for name, number in re.findall(r"REASON_(\w+) = (\d+);", text)}
    del api["UNSPECIFIED"]
    assert api == reasons_in_code(root)


def test_every_reason_is_documented(root):
    documented = re.findall(r"^\| `(\w+)` \|", (root / "docs/errors.md").read_text(), re.M)
    assert len(documented) == len(set(documented))
    assert set(documented) == set(reasons_in_code(root))


def test_the_changelog_keeps_its_form(root):
    """https://keepachangelog.com/en/1.1.0/"""
    text = (root / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert headings and headings[0] == "[Unreleased]"
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading), heading
    kinds = set(re.findall(r"^### (.*)$", text, re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_files_that_documents_name_exist(root):
    missing = []
    for document in ["README.md", "docs/life-of-an-exec.md", "docs/threat-model.md",
                     "docs/command-line.md"]:
        for name in re.findall(r"`([\w./-]+\.(?:h|cc|proto|sh|md|py|toml))`",
                               (root / document).read_text()):
            if "/" in name and not name.startswith(("/", "~")) and not (root / name).exists():
                missing.append(f"{document}: {name}")
    assert not missing, "\n".join(missing)
