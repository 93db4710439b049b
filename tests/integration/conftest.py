# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""A daemon of the test's own, and sandboxes on both engines.

Needs root, and the environment of ./dev e2e: MSB_BUILD (a build tree), MSB_GUEST (deploy/guest.sh).
MSB_FS: an msb-fs of another build, a sanitizer's.
"""
import json
import os
import pathlib
import shutil
import shlex
import subprocess
import sys
import tempfile

import pytest

BUILD = pathlib.Path(os.environ.get("MSB_BUILD", "build/dev")).resolve()
GUEST = pathlib.Path(os.environ.get("MSB_GUEST", "build/guest")).resolve()
ENGINES = os.environ.get("MSB_ENGINES", "qemu,kvm").split(",")
ENGINE = ENGINES[0]  # of what is tested on one
SANITIZED_FS = os.environ.get("MSB_FS")
ROOMY_JAILER = pathlib.Path(__file__).parents[1] / "support/mounts/roomy_jailer.py"


class Daemon:
    """msbd with directories of its own; `msbctl` talks to it."""

    def __init__(self, extra_config="", assets=GUEST, enter=()):
        """`enter`: words before the command that starts the daemon (nsenter ...)."""
        if "[sandbox]" not in extra_config:
            # A boot on an emulated ring 0 takes 15 s, and a minute on a host that is busy.
            extra_config += '\n[sandbox]\nstart_timeout = "5m"\n'
        self.enter = list(enter)
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="msb-e2e-", dir="/run"))
        self.base.chmod(0o755)
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="msb-e2e-", dir="/var/tmp"))
        self.runtime = self.base / "run"
        self.socket = self.base / "msbd.sock"
        self.config = self.base / "config.toml"
        self.log = self.data / "msbd.log"
        self.jailer = self._make_jailer() if SANITIZED_FS else BUILD / "jailer/msb-jailer"
        self.config.write_text(f"""
[daemon]
socket = "{self.socket}"
socket_group = "nogroup"
tcp_address = ""
token_file = "{self.data}/token"
runtime_directory = "{self.runtime}"
data_directory = "{self.data}/state"
assets_directory = "{assets}"
vmm = "{BUILD}/vmm/msb-vmm"
jailer = "{self.jailer}"
net = "{BUILD}/network/msb-net"
image = "{BUILD}/image/msb-image"
fs = "{SANITIZED_FS or BUILD / 'file-server/msb-fs'}"
secrets = "{BUILD}/network/msb-secrets"
{extra_config}""")
        self.environment = dict(os.environ, MSB_SOCKET=str(self.socket))
        self.start()

    def _make_jailer(self):
        words = [sys.executable, "-IS", ROOMY_JAILER, BUILD / "jailer/msb-jailer", SANITIZED_FS]
        script = self.data / "jailer"  # /run may be mounted noexec
        script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
        script.chmod(0o755)
        return script

    def _daemon(self, verb):
        return self.msbctl("daemon", "--msbd", BUILD / "supervisor/msbd", "--config", self.config,
                           "--log-file", self.log, verb, timeout=120, enter=self.enter)

    def start(self):
        self._daemon("start")
        status = self.msbctl("daemon", "status").stdout.decode()
        self.pid = int(status.split("pid ")[1].split(",")[0])

    def stop(self):
        self._daemon("stop")

    def command(self, *arguments):
        return [str(BUILD / "sdks/msbctl/msbctl"), *map(str, arguments)]

    def msbctl(self, *arguments, check=True, timeout=300, enter=(), **options):
        options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
        if options["stdin"] is None:
            del options["stdin"]
        environment = options.pop("env", self.environment)
        result = subprocess.run([*enter, *self.command(*arguments)], env=environment,
                                timeout=timeout, capture_output=True, **options)
        if check and result.returncode != 0:
            raise AssertionError(f"{arguments} ended {result.returncode}: "
                                 f"{result.stdout[-2000:]!r} {result.stderr[-2000:]!r}")
        return result

    def popen(self, *arguments, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(self.command(*arguments), env=self.environment, **options)

    def json(self, *arguments):
        return json.loads(self.msbctl("--format", "json", *arguments).stdout)

    def inspect(self, sandbox):
        return json.loads(self.msbctl("inspect", sandbox).stdout)

    def state(self, sandbox):
        return self.inspect(sandbox)["state"]

    def names(self):
        return self.msbctl("ls", "-aq").stdout.decode().split()

    def close(self):
        try:
            for name in self.names():
                self.msbctl("rm", "-f", name, check=False)
            self.stop()
        finally:
            shutil.rmtree(self.base, ignore_errors=True)
            if "MSB_KEEP" not in os.environ:
                shutil.rmtree(self.data, ignore_errors=True)


class Box:
    """A running sandbox."""

    def __init__(self, daemon, *options):
        self.daemon = daemon
        self.name = daemon.msbctl("create", *options).stdout.decode().strip()

    def exec(self, *command, options=(), **keywords):
        return self.daemon.msbctl("exec", *options, self.name, "--", *command, **keywords)

    def output(self, *command, **keywords):
        return self.exec(*command, **keywords).stdout.decode()

    def sh(self, script, **keywords):
        return self.output("sh", "-c", script, **keywords)

    def companion(self, name):
        """The pid of a process beside its VMM: "net", "secret", "fs"."""
        cgroup = f"{self.daemon.inspect(self.name)['id']}+{name}"
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
                    if cgroup in file.read():
                        return int(pid)
            except OSError:
                continue
        raise AssertionError(f"{self.name} has no companion {name}")

    def remove(self):
        self.daemon.msbctl("rm", "-f", self.name, check=False)


@pytest.fixture(scope="session")
def daemon():
    if os.geteuid() != 0:
        pytest.skip("needs root: the daemon makes cgroups and namespaces")
    server = Daemon()
    yield server
    server.close()


@pytest.fixture(scope="session")
def new_daemon():
    """Makes further daemons, for what would disturb the shared one."""
    made = []

    def make(extra_config="", **options):
        made.append(Daemon(extra_config, **options))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture(scope="session", params=ENGINES)
def box(request, daemon):
    """One warm sandbox per engine, shared: on a host that emulates ring 0 a boot on KVM takes 10 s."""
    made = Box(daemon, "--engine", request.param, "--image", "default", "--memory", "512")
    made.engine = request.param
    yield made
    made.remove()


@pytest.fixture
def fresh(daemon):
    """A sandbox of the test's own, on the engine that the host runs best."""
    made = Box(daemon)
    yield made
    made.remove()


def pytest_collection_modifyitems(items):
    # All tests of one engine's sandbox together, and what starts daemons of its own last.
    items.sort(key=lambda item: ("new_daemon" in item.fixturenames, "box" not in item.fixturenames))
