# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""The edges between the rooms: which may include the headers of which."""
import re

# room -> rooms whose headers it may include, beside its own.
ALLOWED = {
    "base": set(),
    "jailer": {"base"},
    "vmm": {"base", "jailer/policy"},
    "file-server": {"base", "jailer/policy", "vmm/devices/virtio", "vmm/memory"},
    "guest-agent": {"base"},
    "image": {"base"},
    "network": {"base", "jailer/policy"},
    "proto": {"base"},
    "supervisor": {"base", "network/policy", "proto/guest"},
    "sdks": {"base", "proto/guest"},
}
# Packages of proto/ whose generated headers a room may include.
ALLOWED_PROTO = {
    "base": set(),
    "jailer": set(),
    "vmm": {"msb/vmm/v1", "msb/agent/v1"},
    "file-server": set(),
    "guest-agent": {"msb/agent/v1"},
    "image": {"msb/image/v1"},
    "network": {"msb/net/v1"},
    "proto": {"msb/v1", "msb/agent/v1"},
    "supervisor": {"msb/v1", "msb/vmm/v1", "msb/agent/v1", "msb/net/v1", "msb/image/v1"},
    "sdks": {"msb/v1", "msb/agent/v1"},
}
THIRD_PARTY = {"absl", "google", "grpcpp", "gmock", "gtest", "rapidjson"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def is_test(path):
    return path.stem.endswith(("_test", "_fuzzer", "_fixture")) or path.stem.startswith("fake_")


def test_rooms_include_only_what_the_architecture_allows(root, files):
    wrong = []
    for path in files:
        if path.suffix not in {".h", ".cc"}:
            continue
        name = path.relative_to(root).as_posix()
        room = name.split("/")[0]
        if room not in ALLOWED:
            continue
        for include in INCLUDE.findall(path.read_text()):
            if include.startswith("msb/"):
                package = include.rsplit("/", 1)[0]
                if package not in ALLOWED_PROTO[room]:
                    wrong.append(f"{name} includes {include}")
                continue
            if include == "base/version_stamp.h":
                continue
            other = include.split("/")[0]
            if other == room or other in ALLOWED[room] or other in THIRD_PARTY:
                continue
            if any(include.startswith(prefix + "/") for prefix in ALLOWED[room]):
                continue
            if other == "tests" and is_test(path):
                continue
            wrong.append(f"{name} includes {include}")
    assert not wrong, "\n".join(wrong)


def test_grpc_stays_at_the_edges(root, files):
    """Only the supervisor's API and the clients know gRPC: the VMM and the agent are static."""
    wrong = [
        path.relative_to(root).as_posix() for path in files
        if path.suffix in {".h", ".cc"}
        and path.relative_to(root).parts[0] in {
            "base", "jailer", "vmm", "network", "file-server", "image", "guest-agent"}
        and re.search(r"#\s*include\s+<grpc", path.read_text())
    ]
    assert not wrong, wrong


def test_our_code_throws_no_exceptions(root, files):
    """Errors are absl::Status (toml++ and SQLite are built without exceptions too)."""
    wrong = [
        path.relative_to(root).as_posix() for path in files
        if path.suffix in {".h", ".cc"} and re.search(r"^\s*(throw\b|try\s*\{)", path.read_text(), re.M)
        and path.relative_to(root).as_posix() != "sdks/msbctl/application.cc"  # CLI11's end there
    ]
    assert not wrong, wrong
