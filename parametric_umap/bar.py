"""A live bar for a terminal or a notebook, drawn by tqdm."""

from threading import RLock

from tqdm import tqdm

# Of a line in a notebook, which does not say how wide it is.
NOTEBOOK_COLUMNS = 100


class Bar(tqdm):
    """A line of text with a bar, written over as epochs end.

    Parameters
    ----------
    n_epochs : int
        How many there are.
    text : str
        What stands on the line before the first.
    stream : text stream
        A terminal, or the output of a cell of a notebook.
    """

    monitor_interval = 0  # no thread beside the fit, which would outlive it

    def __init__(self, n_epochs, text, stream):
        width = {"dynamic_ncols": True} if stream.isatty() else {"ncols": NOTEBOOK_COLUMNS}
        super().__init__(
            total=n_epochs, desc=text, file=stream, bar_format="{desc} |{bar}| {remaining} left", miniters=1, **width
        )

    def advance(self, text):
        """Write the line of another epoch."""
        self.set_description_str(text, refresh=False)
        self.update()


# No other process draws a bar, so that a lock of this one is enough.
Bar.set_lock(RLock())
