"""What the parameters that are left open come to: the rules by which a fit follows its data, and what they are from.

"Recall" is the share of the 15 nearest neighbours of a fitted row, and of an unseen one, that are near on the map, too.
"""

# Rows of more features than this are wide: they are turned to their principal axes.
WIDE = 128
# Where neighbours lie nearer than this in every feature, in units of the standardized rows, and there are so many rows
# at least, the network also sees waves: a plain one is too smooth to lay such rows flat. Recall with them: avila, gap
# 0.14, .331 / .329 -> .355 / .326; eeg, 0.15, .454 / .406 -> .469 / .410. Of 1,540 rows (segment, 0.06) they bring the
# fitted ones nothing, and cost the unseen ones .05.
NEAR = 0.2
FEWEST_ROWS_OF_WAVES = 2500
# Lengths of the noise. Wide rows lie far from each other, and those that see waves near.
NOISE, NOISE_OF_WIDE, NOISE_OF_WAVES = 0.5, 0.75, 0.25
# So few rows are no batches but all one, and learn the whole graph in so many steps.
WHOLE_ROWS = 500
WHOLE_BATCHES = 120
# Batches of the first phase.
INIT_BATCHES = 50
# Batches of the second phase: so many, one more for so many rows up to MANY, and for so many beyond; they are made in
# EPOCHS epochs, the default of `n_epochs`. Rows that see waves go on learning for longer.
BATCHES = 100
ROWS_OF_BATCH = 20
MANY = 10_000
ROWS_OF_BATCH_BEYOND = 100
LONGER_WITH_WAVES = 1.5
MOST_BATCHES = 3000
EPOCHS = 30


def sees_waves(gap: float, n_samples: int) -> bool:
    """Say whether the default network sees waves.

    Parameters
    ----------
    gap : float
        How far a row lies from its nearest neighbour, in each feature that the network takes.
    n_samples : int
        Number of rows.

    Returns
    -------
    sees_waves : bool
        Not where half of the rows or more have copies, since these lie at no distance.
    """
    return 0 < gap <= NEAR and n_samples >= FEWEST_ROWS_OF_WAVES


def input_noise(width: int, has_waves: bool) -> float:
    """Choose how long the noise is, as a multiple of the distance between nearest neighbours.

    Parameters
    ----------
    width : int
        Number of features that the network takes.
    has_waves : bool
        Whether it sees waves.

    Returns
    -------
    input_noise : float
        What the parameter of this name says otherwise.
    """
    if has_waves:
        return NOISE_OF_WAVES
    return NOISE_OF_WIDE if width > WIDE else NOISE


def init_epochs(n_samples: int, batch_size: int) -> int:
    """Choose how often the first phase goes through the rows.

    Parameters
    ----------
    n_samples, batch_size : int
        Number of rows, and of those in a batch.

    Returns
    -------
    n_epochs : int
        What the parameter `init_epochs` says otherwise.
    """
    return -(-INIT_BATCHES // -(-n_samples // batch_size))


def is_whole(n_samples: int, sampling: str) -> bool:
    """Say whether all rows are one batch.

    Parameters
    ----------
    n_samples : int
        Number of rows.
    sampling : {"neighborhoods", "edges"}
        The parameter.

    Returns
    -------
    is_whole : bool
        Whether they are so few.
    """
    return sampling == "neighborhoods" and n_samples <= WHOLE_ROWS


def batches_per_epoch(n_samples: int, sampling: str, has_waves: bool = False) -> int:
    """Choose how many batches an epoch of the second phase has.

    Parameters
    ----------
    n_samples : int
        Number of rows.
    sampling : {"neighborhoods", "edges"}
        The parameter.
    has_waves : bool, default=False
        Whether the network sees waves.

    Returns
    -------
    batches_per_epoch : int
        What the parameter of this name says otherwise.
    """
    if is_whole(n_samples, sampling):
        batches = WHOLE_BATCHES
    else:
        many = max(0, n_samples - MANY)
        batches = BATCHES + (n_samples - many) // ROWS_OF_BATCH + many // ROWS_OF_BATCH_BEYOND
        batches = min(round(batches * (LONGER_WITH_WAVES if has_waves else 1)), MOST_BATCHES)
    return -(-batches // EPOCHS)
