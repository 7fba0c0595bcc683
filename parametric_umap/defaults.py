"""What the parameters that are left open come to: the rules by which a fit follows its data, and what they are from.

"Recall" is the share of the 15 nearest neighbours of a fitted row, and of an unseen one, that are near on the map, too.
"""

from math import inf

# Rows of more features than this are wide: they are turned to their principal axes.
WIDE = 128
# Rows are dense where there are so many at least, and their nearest neighbours are this near in every feature, in units
# of the standardized rows. They take less noise, and go on learning for longer: recall of avila (gap 0.14) .331 / .329
# -> .371 / .340 in twice the steps, where that of MNIST and the digits (0.5 to 0.6) hardly rises.
NEAR = 0.2
FEWEST_DENSE = 2500
LONGER = 1.75
# Dense rows the network also sees by waves, which let it fold and tear what cannot be laid flat. Recall without, with
# 32 and with 64 of them, and UMAP's: Gaussian rows of three dimensions .266 / .290, .499 / .407, .468 / .365 and .500 /
# .413; a scanned body .59 / .58, .669 / .624, .698 / .646 and .656 / .620; avila .331 / .329 without, .369 / .329 with
# 32, .372 / .329 with 64, and UMAP .384 / .328. What can be laid flat loses, and still is not below UMAP: an S-curve
# .875 / .873, .808 / .792, .789 / .763 and .773 / .728.
N_WAVES = 32
# Lengths of the noise. Wide rows lie far from each other, and dense ones near.
NOISE, NOISE_OF_WIDE, NOISE_OF_DENSE = 0.5, 0.75, 0.25
# So few rows are no batches but all one, and learn the whole graph in so many steps and one more for so many rows.
WHOLE_ROWS = 500
WHOLE_BATCHES = 60
ROWS_OF_WHOLE_BATCH = 8
# A fit of so few rows takes one thread: the loss of theirs is computed by one anyway (torch's grain is 32,768 numbers),
# and to wait for a second costs a third of the time.
ROWS_OF_THREAD = 180
# Widths of the hidden layers: of few rows, of wide rows, and of others. Six layers of 96 are as good as five of 160 at
# .65 of the time (recall of avila .362 / .326 for .368 / .324, of the digits .609 / .575 for .609 / .572), but wide
# rows need more: MNIST 20,000 has .298 / .273, with six of 128 .307 / .280, with five of 160 .309 / .280. Up to 500
# rows three layers of 64 lose nothing.
LAYERS_OF_FEW, LAYERS_OF_WIDE, LAYERS = (64,) * 3, (128,) * 6, (96,) * 6
# Batches of the first phase.
INIT_BATCHES = 50
# Batches of the second phase: so many, one more for so many rows up to MANY, and for so many beyond; they are made in
# EPOCHS epochs, the default of `n_epochs`. Adam learns less in each, and has more.
BATCHES = 100
ROWS_OF_BATCH = 20
MANY = 10_000
ROWS_OF_BATCH_BEYOND = 100
BATCHES_OF_ADAM, ROWS_OF_BATCH_OF_ADAM = 400, 80
MOST_BATCHES = 3000
EPOCHS = 30


def are_dense(gap: float, n_samples: int) -> bool:
    """Say whether rows are dense.

    Parameters
    ----------
    gap : float
        How far a row lies from its nearest neighbour, in each feature that the network takes.
    n_samples : int
        Number of rows.

    Returns
    -------
    are_dense : bool
        Whether they are.
    """
    return gap <= NEAR and n_samples >= FEWEST_DENSE


def hidden_layer_sizes(n_samples: int, n_features: int) -> tuple[int, ...]:
    """Choose the widths of the default network's hidden layers.

    Parameters
    ----------
    n_samples, n_features : int
        The shape of the rows.

    Returns
    -------
    hidden_layer_sizes : tuple of int
        What the parameter of this name says otherwise.
    """
    if n_samples <= WHOLE_ROWS:
        return LAYERS_OF_FEW
    return LAYERS_OF_WIDE if n_features > WIDE else LAYERS


def n_jobs(n_samples: int) -> int | None:
    """Choose how many threads a fit takes.

    Parameters
    ----------
    n_samples : int
        Number of rows.

    Returns
    -------
    n_jobs : int or None
        What the parameter of this name says otherwise.
    """
    return 1 if n_samples <= ROWS_OF_THREAD else None


def n_waves(gap: float, n_samples: int) -> int:
    """Choose how many waves the default network sees.

    Parameters
    ----------
    gap, n_samples
        As in `are_dense`.

    Returns
    -------
    n_waves : int
        What the parameter of this name says otherwise.
    """
    return N_WAVES if are_dense(gap, n_samples) else 0


def input_noise(gap: float, n_samples: int, width: int) -> float:
    """Choose how long the noise is, as a multiple of the distance between nearest neighbours.

    Parameters
    ----------
    gap, n_samples
        As in `are_dense`.
    width : int
        Number of features that the network takes.

    Returns
    -------
    input_noise : float
        What the parameter of this name says otherwise.
    """
    if are_dense(gap, n_samples):
        return NOISE_OF_DENSE
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


def batches_per_epoch(n_samples: int, sampling: str, by_muon: bool, gap: float = inf) -> int:
    """Choose how many batches an epoch of the second phase has.

    Parameters
    ----------
    n_samples : int
        Number of rows.
    sampling : {"neighborhoods", "edges"}
        The parameter.
    by_muon : bool
        Whether there are matrices that Muon moves.
    gap : float, default=inf
        As in `are_dense`.

    Returns
    -------
    batches_per_epoch : int
        What the parameter of this name says otherwise.
    """
    if is_whole(n_samples, sampling):
        batches = WHOLE_BATCHES + n_samples // ROWS_OF_WHOLE_BATCH
    elif by_muon:
        many = max(0, n_samples - MANY)
        batches = BATCHES + (n_samples - many) // ROWS_OF_BATCH + many // ROWS_OF_BATCH_BEYOND
        batches = round(batches * (LONGER if are_dense(gap, n_samples) else 1))
    else:
        batches = BATCHES_OF_ADAM + n_samples // ROWS_OF_BATCH_OF_ADAM
    return -(-min(batches, MOST_BATCHES) // EPOCHS)
