"""Files that are written whole or not at all."""

import os
import re
import shutil
import socket
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex

# The temporary folders that this process is writing in.
_being_written: set[Path] = set()


@contextmanager
def replacing(path):
    """A temporary file that takes the place of the one at `path` once it is whole, and is removed if it is not.

    It lies in a folder of its own beside `path`, since what writes it may have temporary files, too. It has the mode of
    the file that it replaces, or that of a new one; where a link points, the file there is replaced. What a process
    that was killed has left of its own is removed.

    Parameters
    ----------
    path : str or path-like
        The file to be written.

    Yields
    ------
    temporary : Path
        Where to write it.

    Raises
    ------
    ValueError
        If there is a folder or a device at `path`.
    FileNotFoundError
        If there is no folder to write it in.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} cannot be written: it is a folder or a device.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}.")
    remove_remains(path)
    folder = path.with_name(f".{_machine()}-{os.getpid()}-{token_hex(8)}.{path.name}")
    temporary = folder / path.name
    _being_written.add(folder)
    try:
        folder.mkdir()
        temporary.touch()
        mode = (path if path.exists() else temporary).stat().st_mode
        temporary.chmod(mode)
        yield temporary
        temporary.chmod(mode)  # what has written it may have made it anew
        os.replace(temporary, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _being_written.discard(folder)


def remove_remains(path):
    """Remove the temporary folders for a path whose process, on this machine, is no more.

    Parameters
    ----------
    path : Path
        What they would have replaced.
    """
    pattern = re.compile(rf"\.{_machine()}-(\d+)-[0-9a-f]{{16}}\.{re.escape(path.name)}")
    for other in path.parent.iterdir():
        match = pattern.fullmatch(other.name)
        if match and other not in _being_written and not _is_another(int(match[1])):
            shutil.rmtree(other, ignore_errors=True)
            if other.is_file():  # as earlier versions left them
                other.unlink(missing_ok=True)


def _is_another(pid):
    """Whether a process runs, and is not this one."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, and is somebody else's
        pass
    return True


def _machine():
    """A short name of this machine, whose processes are those that can be asked."""
    return blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()
