# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
import pathlib
import re

from conftest import Daemon

def measure(daemon, directory, runs):
    """Resident memory of an msbd that has no sandbox and has had none."""
    fresh = Daemon()
    try:
        status = pathlib.Path(f"/proc/{fresh.pid}/status").read_text()
        kib = {key: int(re.search(rf"{key}:\s+(\d+)", status)[1])
               for key in ("VmRSS", "RssAnon", "Threads")}
        return {"resident_mib": round(kib["VmRSS"] / 1024, 1),
                "anonymous_mib": round(kib["RssAnon"] / 1024, 1), "threads": kib["Threads"],
                "promise": "resident at most 30 MiB"}
    finally:
        fresh.close()
