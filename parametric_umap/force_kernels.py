"""The forces of the edge loss as two Triton kernels: in torch they are seventy, each of which a GPU has to launch.

The numbers are those of `EdgeCrossEntropy.value_and_gradient` up to the order of sums, and the same bits every time.
"""

# mypy: allow-incomplete-defs
# Of the arguments of a kernel Triton wants only the constant ones annotated.

import math

import torch
import triton
import triton.language as tl

MOST_COMPONENTS = 8
MOST_MEMBERS = 64  # of a group: one program holds all of its pairs
ROWS = 256  # that a column meets at a time


def can_compute(z, weights):
    """Say whether the kernels are for such a batch; the arguments are those of `loss_and_gradient`."""
    return z.shape[1] <= MOST_COMPONENTS and weights.shape[1] <= MOST_MEMBERS


def loss_and_gradient(z, weights, a, b, repulsion, step, n_apart, epsilon):
    """Compute the cross-entropy of a batch of groups and its gradient.

    Parameters
    ----------
    z : Tensor of shape (n_groups * group_size, n_components), float32
        Coordinates of the rows, group by group.
    weights : Tensor of shape (n_groups, group_size, group_size), float32
        The weights of the edges within each group, symmetric.
    a, b : float
        The similarity curve.
    repulsion : float
        Factor of the repulsion, whose pairs are averaged.
    step : int
        Each so many rows one repels all rows.
    n_apart : int
        So many rows after another do not repel each other: those of a group, or each only itself.
    epsilon : float
        What is added to the squares of distances.

    Returns
    -------
    loss : Tensor of shape (), float32
        Mean over the edges, by their weights.
    gradient : Tensor of shape (n_groups * group_size, n_components), float32
        Its gradient with respect to `z`.
    """
    z, weights = z.contiguous(), weights.contiguous()
    n, n_components = z.shape
    n_groups, size = weights.shape[:2]
    n_columns = -(-n // step)
    total = weights.sum()
    losses, gradient = z.new_empty(n_groups), torch.empty_like(z)
    curve = a, math.log(a), b, repulsion / max(1, (n - n_apart) * n_columns), epsilon
    _forces_on_rows[(n_groups,)](
        *(z, weights, total, gradient, losses, n_columns, step, *curve, n_apart, size),
        D=n_components,
        SIZE=triton.next_power_of_2(size),
        COLUMNS=triton.next_power_of_2(n_columns),
    )
    _forces_on_columns[(n_columns,)](z, gradient, step, *curve, n_apart, N=n, D=n_components, ROWS=ROWS)
    return losses.sum(), gradient


@triton.jit
def _forces_on_rows(
    z,
    weights,
    total,
    gradient,
    losses,
    n_columns,
    step,
    a,
    log_a,
    b,
    repulsion,
    epsilon,
    n_apart,
    size,
    D: tl.constexpr,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Attraction within one group, and repulsion of its rows by all columns."""
    group = tl.program_id(0)
    member = tl.arange(0, SIZE)
    is_member = member < size
    row = group * size + member
    number = tl.arange(0, COLUMNS)
    is_column = number < n_columns
    column = number * step
    near = tl.full((SIZE, SIZE), epsilon, tl.float32)
    far = tl.full((SIZE, COLUMNS), epsilon, tl.float32)
    for d in tl.static_range(D):
        own = tl.load(z + row * D + d, mask=is_member, other=0.0)
        other = tl.load(z + column * D + d, mask=is_column, other=0.0)
        within, across = own[:, None] - own[None, :], own[:, None] - other[None, :]
        near += within * within
        far += across * across
    is_pair = is_member[:, None] & is_member[None, :]
    weight = tl.load(weights + row[:, None] * size + member[None, :], mask=is_pair, other=0.0)
    share = weight / tl.maximum(tl.load(total), 1.1754944e-38)  # the least float32: a batch may have no edge
    growth = tl.exp(b * tl.log(near)) * a
    pull = share * growth / ((growth + 1) * near) * (4 * b)  # 2 b, and each edge is there from both ends
    loss = tl.sum(share * tl.log(1 + growth))
    log_growth = b * tl.log(far) + log_a
    inverse = tl.exp(log_growth) + 1
    is_apart = is_member[:, None] & is_column[None, :] & ((row // n_apart)[:, None] != (column // n_apart)[None, :])
    push = tl.where(is_apart, -2 * b * repulsion / (far * inverse), 0.0)
    loss += repulsion * tl.sum(tl.where(is_apart, tl.log(inverse) - log_growth, 0.0))
    for d in tl.static_range(D):
        own = tl.load(z + row * D + d, mask=is_member, other=0.0)
        other = tl.load(z + column * D + d, mask=is_column, other=0.0)
        force = tl.sum(pull * (own[:, None] - own[None, :]), axis=1)
        force += tl.sum(push * (own[:, None] - other[None, :]), axis=1)
        tl.store(gradient + row * D + d, force, mask=is_member)
    tl.store(losses + group, loss)


@triton.jit
def _forces_on_columns(
    z,
    gradient,
    step,
    a,
    log_a,
    b,
    repulsion,
    epsilon,
    n_apart,
    N: tl.constexpr,
    D: tl.constexpr,
    ROWS: tl.constexpr,
):
    """The same repulsion as one column feels it, added to its gradient."""
    column = tl.program_id(0) * step
    for d in tl.static_range(D):
        force = tl.zeros((ROWS,), tl.float32)
        here = tl.load(z + column * D + d)
        for start in range(0, N, ROWS):
            row = start + tl.arange(0, ROWS)
            is_row = row < N
            far = tl.full((ROWS,), epsilon, tl.float32)
            for e in tl.static_range(D):
                across = tl.load(z + row * D + e, mask=is_row, other=0.0) - tl.load(z + column * D + e)
                far += across * across
            inverse = tl.exp(b * tl.log(far) + log_a) + 1
            is_apart = is_row & (row // n_apart != column // n_apart)
            push = tl.where(is_apart, -2 * b * repulsion / (far * inverse), 0.0)
            force -= push * (tl.load(z + row * D + d, mask=is_row, other=0.0) - here)
        place = gradient + column * D + d
        tl.store(place, tl.load(place) + tl.sum(force))
