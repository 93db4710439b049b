# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
"""Images from registries and archives, through the daemon: pulled, kept, shared, run, removed."""
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tarfile
import time

import pytest
from conftest import ENGINES, Box
from registry import Registry, make_image, missing_programs, run

pytestmark = pytest.mark.skipif(bool(missing_programs()), reason=f"needs {missing_programs()}")

BUSYBOX = pathlib.Path("/bin/busybox")
APPLETS = ("sh", "cat", "echo", "ls", "env", "pwd", "id", "stat", "sleep", "sha256sum")

# A server that ends in good order when it gets the signal of its image, as long as what it has started
# is left to it.
SERVER = """\
trap 'kill -CONT $child && echo "$1 was asked" >> log; exit 0' USR1
trap 'echo "$1 was ended" >> log; exit 1' TERM
sleep 1000 & child=$!
echo ready > "$1.ready"
wait $child
echo "$1 lost its child" >> log
"""


def tree(directory, files):
    """A directory with these files, as text or bytes; a trailing slash makes a directory."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A layout with "base", and "tool" and "other" on top of it."""
    place = tmp_path_factory.mktemp("images")
    base = tree(place / "base", {"etc/passwd": "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n",
                                 "etc/group": "root:x:0:\napp:x:1000:\n", "etc/motd": "of the base\n",
                                 "srv/data": "lower\n", "srv/gone": "x\n", "tmp/": "", "proc/": "",
                                 "sys/": "", "dev/": "", "root/": ""})
    (base / "bin").mkdir()
    shutil.copy(BUSYBOX, base / "bin/busybox")
    for applet in APPLETS:
        (base / "bin" / applet).symlink_to("busybox")
    tool = tree(place / "tool", {"etc/motd": "of the tool\n", "usr/share/tool": "t" * 4096})
    other = tree(place / "other", {"usr/share/other": "o" * 4096})
    layout = place / "layout"
    make_image(layout, [base], "base")
    make_image(layout, [tool], "tool", base="base")
    run("umoci", "insert", "--image", f"{layout}:tool", "--whiteout", "/srv/gone")
    run("umoci", "config", "--image", f"{layout}:tool", "--config.env", "TOOL=yes",
        "--config.workingdir", "/srv", "--config.user", "app", "--config.cmd", "cat",
        "--config.cmd", "/etc/motd", "--config.label", "kind=test")
    make_image(layout, [other], "other", base="base")
    server = tree(place / "server", {"srv/serve": SERVER})
    make_image(layout, [server], "server", base="base")
    run("umoci", "config", "--image", f"{layout}:server", "--config.stopsignal", "SIGUSR1",
        "--config.entrypoint", "/bin/echo", "--config.entrypoint", "from the", "--config.cmd", "image",
        "--config.user", "1000:0", "--config.workingdir", "/tmp")
    return layout


@pytest.fixture(scope="module")
def registry(tmp_path_factory, images):
    with Registry(tmp_path_factory.mktemp("registry")) as server:
        for tag in ("base", "tool", "other", "server"):
            server.push(f"oci:{images}:{tag}", f"test/{tag}", "1")
        yield server


@pytest.fixture(scope="module")
def store(new_daemon, registry):
    """A daemon that trusts the registry without TLS."""
    return new_daemon('[sandbox]\nengine = "qemu"\nstart_timeout = "5m"\n'
                      f'[images]\nplain_http = ["{registry.host}"]\n')


@pytest.fixture
def clean(store):
    """The same with an empty store."""
    for name in store.names():
        store.msbctl("rm", "-f", name)
    store.msbctl("image", "prune", "--all")
    assert stored(store) == []
    return store


def stored(daemon):
    return [image["name"] for image in daemon.json("image", "ls")["images"] if not image["built_in"]]


def files(daemon, folder):
    return sorted(path.name for path in (daemon.data / "state/images" / folder).iterdir())


def reason(result):
    text = result.stderr.decode()
    assert "[" in text, text
    return text.rsplit("[", 1)[1].split("]")[0]


def processes(name):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == name:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def image_processes(daemon):
    """Those msb-image processes that are children of this daemon."""
    return [pid for pid in processes("msb-image") if parent(pid) == daemon.pid]


def parent(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def wait_until(condition, seconds=60):
    """For what happens in another process that tells nobody."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def test_an_image_is_pulled_shown_and_run(clean, registry):
    name = f"{registry.host}/test/tool:1"
    pulled = clean.msbctl("image", "pull", name)
    assert pulled.stdout.decode().strip() == name
    image = json.loads(clean.msbctl("image", "inspect", name).stdout)
    assert len(image["layers"]) == 3
    assert image["settings"]["labels"] == {"kind": "test"}
    assert image["settings"]["cmd"] == ["cat", "/etc/motd"]
    run_it = ("run", "--image", name, "--pull", "never")
    assert clean.msbctl(*run_it).stdout == b"of the tool\n", "the image's own command"
    script = "pwd; echo $TOOL; id -u; cat data; ls gone 2>&1 | cat"
    lines = clean.msbctl(*run_it, "--", "sh", "-c", script).stdout.decode().splitlines()
    assert lines[:4] == ["/srv", "yes", "1000", "lower"]
    assert "No such file" in lines[4]
    written = clean.msbctl(*run_it, "-u", "root", "--", "sh", "-c", "echo new > data && cat data")
    assert written.stdout == b"new\n"


def test_entrypoint_cmd_user_and_working_directory_are_the_images(clean, registry):
    name = f"{registry.host}/test/server:1"
    clean.msbctl("image", "pull", name)
    run_it = ("run", "--image", name, "--pull", "never")
    assert clean.msbctl(*run_it).stdout == b"from the image\n"
    given = clean.msbctl(*run_it, "--", "sh", "-c", "pwd; id -u; id -g").stdout.decode().split()
    assert given == ["/tmp", "1000", "0"], "a command of one's own goes without the entrypoint"
    own = clean.msbctl(*run_it, "-u", "root", "-w", "/srv", "--", "sh", "-c", "pwd; id -u").stdout
    assert own == b"/srv\n0\n"


def test_a_stop_asks_by_the_images_signal(clean, registry):
    box = Box(clean, "--image", f"{registry.host}/test/server:1")
    in_srv = ("-u", "root", "-w", "/srv")
    assert clean.inspect(box.name)["state"] == "running"
    for name in ("first", "second"):
        clean.msbctl("exec", "-d", *in_srv, box.name, "--", "sh", "serve", name)
    for other in ("trap 'echo other >> log; exit' TERM; echo ready > other.ready; sleep 1000 & wait",
                  "trap '' USR1; echo ready > deaf.ready; exec sleep 1000"):
        clean.msbctl("exec", "-d", *in_srv, box.name, "--", "sh", "-c", other)
    for name in ("first", "second", "other", "deaf"):
        box.sh(f"until [ -e {name}.ready ]; do sleep 0.05; done", options=in_srv)
    began = time.monotonic()
    clean.msbctl("stop", "--grace", "200s", box.name)
    assert time.monotonic() - began < 100, "it waits for nothing that does not end"
    clean.msbctl("start", box.name)
    log = box.sh("cat log", options=in_srv).splitlines()
    assert sorted(log) == ["first was asked", "other", "second was asked"]
    box.remove()


@pytest.mark.skipif("kvm" not in ENGINES, reason="engine kvm is left out")
def test_an_image_runs_on_kvm_too(clean, registry):
    name = f"{registry.host}/test/tool:1"
    assert clean.msbctl("run", "--engine", "kvm", "--image", name).stdout == b"of the tool\n"


def test_a_missing_image_is_pulled_on_the_way(clean, registry):
    name = f"{registry.host}/test/base:1"
    refused = clean.msbctl("run", "--image", name, "--pull", "never", "--", "true", check=False)
    assert refused.returncode == 125 and reason(refused) == "IMAGE_NOT_FOUND"
    made = clean.msbctl("run", "--image", name, "--", "cat", "/etc/motd")
    assert made.stdout == b"of the base\n"
    assert b"done" in made.stderr, "a line for the layer"


def test_two_images_share_their_layers(clean, registry):
    clean.msbctl("image", "pull", f"{registry.host}/test/base:1")
    before = files(clean, "layers/sha256")
    clean.msbctl("image", "pull", f"{registry.host}/test/other:1")
    after = files(clean, "layers/sha256")
    assert len(before) == 1 and len(after) == 2 and set(before) < set(after)
    image = json.loads(clean.msbctl("image", "inspect", f"{registry.host}/test/other:1").stdout)
    assert [layer["images"] for layer in image["layers"]] == [2, 1]


def test_an_image_in_use_stays_and_prune_takes_the_rest(clean, registry):
    base, other = (f"{registry.host}/test/{tag}:1" for tag in ("base", "other"))
    clean.msbctl("create", "--name", "user", "--image", base, "--no-start")
    clean.msbctl("image", "pull", other)
    refused = clean.msbctl("image", "rm", base, check=False)
    assert refused.returncode == 1 and reason(refused) == "IMAGE_IN_USE"
    assert b"user" in refused.stderr
    clean.stop()
    clean.start()
    assert reason(clean.msbctl("image", "rm", base, check=False)) == "IMAGE_IN_USE"
    clean.msbctl("image", "prune", "--all")
    assert stored(clean) == [base]
    assert len(files(clean, "layers/sha256")) == 1
    clean.msbctl("rm", "user")
    clean.msbctl("image", "rm", base)
    assert files(clean, "layers/sha256") == [] and files(clean, "blobs/sha256") == []


def test_images_are_told_of_as_events(clean, registry):
    name = f"{registry.host}/test/base:1"
    watching = clean.popen("--format", "json", "events")
    # Once it stands, which it does not tell.
    while not select.select([watching.stdout], [], [], 0.1)[0]:
        clean.msbctl("image", "pull", "-q", name)
        clean.msbctl("image", "rm", name)
    kinds = []
    while len(kinds) < 2:
        event = json.loads(watching.stdout.readline())
        if event.get("image", {}).get("name") == name:
            kinds.append(event["image"]["kind"])
    watching.kill()
    watching.wait()
    assert set(kinds) == {"pulled", "removed"}


def docker_login(place, host):
    """What `docker login` leaves for ann, password s3cret; for DOCKER_CONFIG."""
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"auths": {host: {"auth": "YW5uOnMzY3JldA=="}}}))
    return str(place)


def test_a_private_image_needs_a_login_and_is_its_pullers_alone(clean, images, tmp_path, new_daemon):
    with Registry(tmp_path / "private", user="ann", password="s3cret") as private:
        private.push(f"oci:{images}:base", "team/base", "1")
        name = f"{private.host}/team/base:1"
        pull = ("image", "pull", "--plain-http", name)
        assert reason(clean.msbctl(*pull, check=False)) == "IMAGE_ACCESS_DENIED"
        wrong = clean.msbctl(*pull, "--username", "ann", "--password-stdin", input=b"no\n", check=False)
        assert reason(wrong) == "IMAGE_ACCESS_DENIED"
        clean.environment["DOCKER_CONFIG"] = docker_login(tmp_path / "docker", private.host)
        try:
            clean.msbctl(*pull)
        finally:
            del clean.environment["DOCKER_CONFIG"]
        image = json.loads(clean.msbctl("image", "inspect", name).stdout)
        assert not image["shared"]
        log = clean.log.read_text()
        assert "s3cret" not in log and "YW5uOnMzY3JldA" not in log


def test_a_private_image_is_asked_for_each_time_with_its_login(images, tmp_path, new_daemon):
    with Registry(tmp_path / "private", user="ann", password="s3cret") as private:
        private.push(f"oci:{images}:base", "team/base", "1")
        name = f"{private.host}/team/base:1"
        daemon = new_daemon(f'[images]\npull_policy = "always"\nplain_http = ["{private.host}"]\n')
        daemon.environment["DOCKER_CONFIG"] = docker_login(tmp_path / "docker", private.host)
        for box in ("first", "second"):  # the second finds the image there
            daemon.msbctl("create", "--name", box, "--no-start", "--image", name)
        assert sorted(daemon.names()) == ["first", "second"]


def test_another_user_sees_what_is_everybodys_and_no_more(clean, registry):
    other = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    shared, own = (f"{registry.host}/test/{tag}:1" for tag in ("base", "tool"))
    clean.msbctl("image", "pull", shared)
    clean.msbctl("image", "pull", "--plain-http", own)
    listed = json.loads(clean.msbctl("--format", "json", "image", "ls", enter=other).stdout)
    assert [image["name"] for image in listed["images"] if not image["built_in"]] == [shared]
    digest = json.loads(clean.msbctl("image", "inspect", own).stdout)["digest"]
    for name in (own, digest):
        for verb in ("inspect", "rm", "save"):
            refused = clean.msbctl("image", verb, name, enter=other, check=False)
            assert reason(refused) == "IMAGE_NOT_FOUND", (verb, refused.stderr)
    assert reason(clean.msbctl("image", "rm", shared, enter=other, check=False)) == "PERMISSION_DENIED"
    run_it = ("run", "--image", shared, "--pull", "never", "--", "cat", "/etc/motd")
    assert clean.msbctl(*run_it, enter=other).stdout == b"of the base\n"


def test_a_registry_with_a_ca_of_its_own(images, tmp_path, new_daemon):
    with Registry(tmp_path / "tls", tls=True) as registry:
        registry.push(f"oci:{images}:base", "test/base", "1")
        name = f"{registry.host}/test/base:1"
        ca = tmp_path / "ca.pem"
        ca.write_text(registry.ca_pem)
        plain = new_daemon()
        assert reason(plain.msbctl("image", "pull", name, check=False)) == "IMAGE_PULL_FAILED"
        plain.msbctl("image", "pull", "--skip-tls-verification", name)
        trusting = new_daemon(f'[images]\nca_file = "{ca}"\n')
        trusting.msbctl("image", "pull", name)
        assert json.loads(trusting.msbctl("image", "inspect", name).stdout)["shared"]


def test_a_mirror_is_asked_first_and_the_registry_where_it_has_nothing(registry, new_daemon):
    """Of a registry that nobody reaches: what is pulled came from its mirror."""
    mirrored = registry.host
    daemon = new_daemon(f'[images]\nplain_http = ["{mirrored}", "127.0.0.1:9"]\n'
                        f'mirrors = ["127.0.0.1:9={mirrored}"]\nmax_attempts = 1\n')
    daemon.msbctl("image", "pull", "127.0.0.1:9/test/tool:1")
    assert len(daemon.json("image", "inspect", "127.0.0.1:9/test/tool:1")["layers"]) == 3
    missing = daemon.msbctl("image", "pull", "127.0.0.1:9/test/nothing:1", check=False)
    assert missing.returncode == 1 and b"127.0.0.1:9" in missing.stderr


def test_a_digest_pins_what_is_pulled(clean, registry):
    digest = json.loads(run("skopeo", "inspect", "--tls-verify=false",
                            f"docker://{registry.host}/test/base:1"))["Digest"]
    name = f"{registry.host}/test/base@{digest}"
    clean.msbctl("image", "pull", name)
    assert json.loads(clean.msbctl("image", "inspect", digest[:30]).stdout)["digest"] == digest
    other = f"{registry.host}/test/base@sha256:{'0' * 64}"
    assert reason(clean.msbctl("image", "pull", other, check=False)) == "IMAGE_NOT_FOUND"


def test_bytes_that_are_not_what_their_digest_says_make_no_image(clean, images, tmp_path):
    with Registry(tmp_path / "broken") as registry:
        registry.push(f"oci:{images}:base", "test/base", "1")
        blobs = [path for path in registry.directory.glob("storage/**/data")
                 if path.stat().st_size > 100_000]
        assert len(blobs) == 1
        with open(blobs[0], "r+b") as blob:
            blob.seek(50_000)
            blob.write(b"not what it was")
        name = f"{registry.host}/test/base:1"
        failed = clean.msbctl("image", "pull", "--plain-http", name, check=False)
        assert reason(failed) == "IMAGE_DIGEST_MISMATCH"
        assert stored(clean) == [] and files(clean, "layers/sha256") == []


@pytest.fixture(scope="module")
def large(registry, tmp_path_factory):
    """An image whose download takes a moment."""
    place = tmp_path_factory.mktemp("large")
    layers = [tree(place / f"tree{i}", {f"file{i}": os.urandom(48 << 20)}) for i in range(2)]
    registry.push(make_image(place / "layout", layers, "large"), "test/large", "1",
                  "--dest-compress=false")
    return f"{registry.host}/test/large:1"


def begin_pull(daemon, name):
    """A pull that has some bytes."""
    client = daemon.popen("--format", "json", "image", "pull", name)
    while True:
        line = client.stdout.readline()
        assert line, client.stderr.read()
        if json.loads(line).get("progress", {}).get("phase") == "downloading":
            return client


def test_a_killed_program_is_an_error_and_the_next_pull_goes_on(clean, large):
    client = begin_pull(clean, large)
    for pid in image_processes(clean):
        os.kill(pid, signal.SIGKILL)
    client.communicate(timeout=60)
    if client.returncode != 0:  # it may have been done already
        assert stored(clean) == []
    clean.msbctl("image", "pull", large)
    assert stored(clean) == [large]
    assert files(clean, "staging") == []


def test_a_client_that_leaves_ends_its_pull(clean, large):
    client = begin_pull(clean, large)
    client.kill()
    client.wait()
    wait_until(lambda: image_processes(clean) == [])
    clean.msbctl("image", "pull", large)


def test_a_killed_daemon_leaves_nothing_half_visible(clean, large):
    client = begin_pull(clean, large)
    os.kill(clean.pid, signal.SIGKILL)
    client.communicate(timeout=60)
    assert client.returncode == 1
    clean.start()
    assert stored(clean) == []
    assert files(clean, "blobs/sha256") == [] and files(clean, "layers/sha256") == []
    cgroups = [path for mount in pathlib.Path("/sys/fs/cgroup").iterdir()
               for path in mount.glob("microsandbox/image-*") if path.is_dir()]
    instance = [path for path in cgroups if not (path / "cgroup.procs").read_text().strip()]
    assert instance == [], "cgroups without a process"
    clean.msbctl("image", "pull", large)
    assert files(clean, "staging") == []


def test_a_full_store_is_an_error_with_a_next_step(new_daemon, registry, large):
    daemon = new_daemon(f'[images]\nplain_http = ["{registry.host}"]\n')
    place = daemon.data / "state/images"
    daemon.stop()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "msb-test", place], check=True)
    try:
        daemon.start()
        failed = daemon.msbctl("image", "pull", large, check=False)
        assert reason(failed) == "NO_SPACE", failed.stderr
        assert b"prune" in failed.stderr
        assert stored(daemon) == []
        base = f"{registry.host}/test/base:1"
        daemon.stop()
        shutil.rmtree(place / "staging")
        daemon.start()
        daemon.msbctl("image", "pull", base)
        assert stored(daemon) == [base]
    finally:
        daemon.stop()
        subprocess.run(["umount", place], check=True)
        daemon.start()


def test_what_is_saved_others_read_and_what_others_write_is_loaded(clean, registry, tmp_path):
    name = f"{registry.host}/test/tool:1"
    clean.msbctl("image", "pull", name)
    digest = json.loads(clean.msbctl("image", "inspect", name).stdout)["digest"]
    archive = tmp_path / "tool.tar"
    clean.msbctl("image", "save", name, "-o", archive)
    whole = archive.read_bytes()
    clean.msbctl("image", "save", "no-such-image", "-o", archive, check=False)
    assert archive.read_bytes() == whole, "what was there stays when there is nothing to take its place"
    for transport in ("docker-archive", "oci-archive"):
        seen = json.loads(run("skopeo", "inspect", f"{transport}:{archive}"))
        assert len(seen["Layers"]) == 3, transport
    clean.msbctl("image", "rm", name)
    loaded = clean.msbctl("image", "load", "-i", archive).stdout.decode().split()
    assert loaded == [name]
    assert json.loads(clean.msbctl("image", "inspect", name).stdout)["digest"] == digest
    assert clean.msbctl("run", "--image", name, "--pull", "never").stdout == b"of the tool\n"

    written = tmp_path / "docker.tar"
    run("skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", f"docker://{name}",
        f"docker-archive:{written}:written:2")
    clean.msbctl("image", "load", "-i", written)
    assert clean.msbctl("run", "--image", "written:2", "--pull", "never").stdout == b"of the tool\n"


def test_archives_that_are_hostile_leave_nothing(clean, tmp_path):
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(os.urandom(1 << 20))
    climbing = tmp_path / "climbing.tar"
    with tarfile.open(climbing, "w") as archive:
        for member in ("../../evil", "/etc/evil", "manifest.json"):
            info = tarfile.TarInfo(member)
            info.size = 4
            archive.addfile(info, fileobj=__import__("io").BytesIO(b"evil"))
    for hostile in (rubbish, climbing, os.devnull):
        failed = clean.msbctl("image", "load", "-i", hostile, check=False)
        assert failed.returncode == 1 and reason(failed).startswith("IMAGE_"), failed.stderr
        assert stored(clean) == []
        assert files(clean, "staging") == [] and files(clean, "blobs/sha256") == []
    assert not pathlib.Path("/etc/evil").exists()


def test_built_in_images_keep_their_names(store):
    refused = store.msbctl("image", "pull", "busybox", check=False)
    assert reason(refused) == "INVALID_ARGUMENT" and b"busybox:latest" in refused.stderr
    assert store.msbctl("run", "--image", "busybox", "--", "echo", "x").stdout == b"x\n"
