"""An interrupt, as Ctrl-C sends, neither lands inside a callback nor is lost."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Keep interrupts until the end of the block, and let the handler that was there before have the last of them.

    Code that is interrupted anywhere, as between the two lines of ``threading.Condition.notify`` that wake a thread,
    may leave others waiting for ever. Python interrupts the main thread only, so in other threads nothing is done.
    """
    before = _handler()
    if before is None:
        yield
        return
    if isinstance(before, _Raising):
        before.raise_lost()
    keeper = _Keeping(before)
    signal.signal(signal.SIGINT, keeper)
    try:
        yield
    finally:
        keeper.release(before)


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Let interrupts through, in a part of a block that keeps them; one that something within swallows is raised after.

    joblib's ``Memory``, for one, has a bare ``except``, and what is raised while an object is deleted is only printed.
    """
    keeper = _handler()
    if not isinstance(keeper, _Keeping):
        yield
        return
    raising = _Raising(keeper)
    try:
        keeper.release(raising)
        yield
        raising.raise_lost()
    finally:
        _replace(raising, keeper)


def keeping_interrupts(method: Callable[..., Any]) -> Callable[..., Any]:
    """Keep interrupts in all of a method but where it lets them through."""

    @wraps(method)
    def kept(*arguments, **settings):
        with interrupts_kept():
            return method(*arguments, **settings)

    return kept


class _Keeping:
    """A handler that puts an interrupt off."""

    def __init__(self, before):
        self.before, self.kept = before, None

    def __call__(self, *interrupt):
        self.kept = interrupt

    def release(self, handler):
        """Give way to another handler, and pass on to it what was kept."""
        _replace(self, handler)
        if self.kept is not None:
            kept, self.kept = self.kept, None
            handler(*kept)


class _Raising:
    """A handler that remembers what the one before the keeper raises."""

    def __init__(self, keeper):
        self.keeper, self.raised = keeper, None

    def __call__(self, *interrupt):
        try:
            self.keeper.before(*interrupt)
        except BaseException as error:
            self.raised = error
            raise

    def raise_lost(self):
        if self.raised is not None:
            raise self.raised


def _handler():
    """The handler of interrupts, if it is Python's or the user's and this thread is the one that it interrupts."""
    handler = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    return handler if in_main_thread and callable(handler) else None


def _replace(handler, by):
    """Put a handler in the place of one, or of one that should have left that place and was interrupted."""
    now = signal.getsignal(signal.SIGINT)
    if now is handler or getattr(now, "keeper", None) is handler:
        signal.signal(signal.SIGINT, by)
