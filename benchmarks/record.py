"""What is written down of a measurement, and where. Reads Linux's /proc."""

import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "torch-parametric-umap",
    "umap-learn",
    "tensorflow-cpu",
    "keras",
    "paradime",
    "torchdr",
    "torch",
    "scikit-learn",
    "numpy",
    "scipy",
    "pynndescent",
    "numba",
)


def versions():
    """Versions of Python and of the packages installed here that matter for speed."""
    installed = {dist.metadata["Name"].lower().replace("_", "-"): dist.version for dist in distributions()}
    return {"python": platform.python_version()} | {name: installed[name] for name in PACKAGES if name in installed}


def revision():
    """The commit of this repository, marked where files but for those of results differ from it."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=RESULTS.parent, capture_output=True, text=True).stdout.strip()

    is_dirty = git("status", "--porcelain", "--untracked-files=no", "--", ":/", f":!{RESULTS.name}")
    return git("describe", "--always", "--exclude=*") + ("-dirty" if is_dirty else "")


def machine():
    """The processor and how many of its cores this process may use."""
    name = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {"cpu": name[1] if name else platform.machine(), "cores": len(os.sched_getaffinity(0))}


def peak_memory():
    """Most bytes that this process has held in memory at once.

    ``resource.getrusage`` would count what the parent process held when it started this one.
    """
    return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])


def append(file, line):
    """Add a measurement to a file in the folder of results, with the machine, the commit and the time (UTC)."""
    RESULTS.mkdir(exist_ok=True)
    stamp = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "revision": revision()}
    with (RESULTS / file).open("a") as lines:
        lines.write(json.dumps(stamp | line) + "\n")


def read(file):
    """The measurements in a file that were made on the machine of its last one."""
    path = RESULTS / file
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if line["machine"] == lines[-1]["machine"]]
