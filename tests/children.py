"""Processes that a test starts, none of which outlives it."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager

SECONDS = 300


def script(code, *arguments, **settings):
    """Start Python on a script that may import what the tests may."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-u", "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, **settings)


@contextmanager
def killed_in_time(process):
    """Kill a process after so many seconds, so that nobody waits longer for what it writes, and at the end."""
    limit = threading.Timer(SECONDS, process.kill)
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        process.kill()
        process.wait(timeout=60)
