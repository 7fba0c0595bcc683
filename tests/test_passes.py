import copy

import pytest
import torch

from parametric_umap.encoder import ACTIVATIONS, Guided, Perceptron
from parametric_umap.engine.passes import ByAutograd, ByHand, passes_through


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def perceptron(widths=(16, 12, 12), activation="silu", n_waves=0):
    network = Perceptron(5, 2, widths, activation, generator())
    network.see_waves(n_waves, 0.1, generator(1))
    return network


def guided(**how):
    network = perceptron(**how)
    return Guided(network, network.new_guides(3, generator(2)))


def z_and_gradients(kind, network, precision, x):
    """Coordinates, and the gradients of all parameters where that of the coordinates is known."""
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    passes = kind(network, precision)
    z = passes.forward(x)
    passes.backward(torch.randn(z.shape, generator=generator(3)))
    return z, [parameter.grad for parameter in network.parameters()]


NETWORKS = {
    **{activation: lambda activation=activation: perceptron(activation=activation) for activation in ACTIVATIONS},
    "linear": lambda: perceptron(()),
    "of one layer": lambda: perceptron((16,)),
    "with waves": lambda: perceptron(n_waves=4),
    "guided": guided,
    "guided, with waves": lambda: guided(n_waves=4),
}


@pytest.mark.parametrize("kind", [ByHand, ByAutograd])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_autograd_in_float64(name, kind):
    network = NETWORKS[name]()
    x = torch.randn(50, 5, generator=generator(4))
    z, gradients = z_and_gradients(kind, network, torch.float32, x)
    exact = copy.deepcopy(network).double()
    exact.zero_grad()
    exact_z = in_float64(exact, x.double())
    exact_z.backward(torch.randn(z.shape, generator=generator(3)).double())
    torch.testing.assert_close(z.double(), exact_z, rtol=1e-5, atol=1e-5)
    for gradient, parameter in zip(gradients, exact.parameters(), strict=True):
        torch.testing.assert_close(gradient.double(), parameter.grad, rtol=1e-4, atol=1e-4)


def in_float64(network, x):
    """What a network gives that keeps the precision of its rows: without the casts of its own."""
    x = network.features(x)
    for layer in network.hidden_layers:
        x = network.activation(layer(x))
    return torch.cat([head(x) for head in network.heads], dim=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_in_bfloat16_both_round_alike(name):
    network = NETWORKS[name]()
    takes = torch.float32 if "waves" in name else torch.bfloat16
    x = torch.randn(50, 5, generator=generator(4)).to(takes)
    found, expected = (
        z_and_gradients(kind, copy.deepcopy(network), torch.bfloat16, x) for kind in (ByHand, ByAutograd)
    )
    torch.testing.assert_close(found[0], expected[0], rtol=2**-7, atol=2**-7)
    for by_hand, by_autograd in zip(found[1], expected[1], strict=True):
        assert (by_hand - by_autograd).norm() <= 2**-6 * by_autograd.norm()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_hidden_layers_are_rounded_to_the_precision_and_coordinates_are_not(precision):
    network = perceptron()
    passes = ByHand(network, precision)
    z = passes.forward(torch.randn(50, 5, generator=generator(4)).to(precision))
    assert {after.dtype for *_, after in passes.steps} == {precision}
    assert z.dtype == torch.float32
    exact = passes.last.double() @ network.head.weight.double().T + network.head.bias.double()
    torch.testing.assert_close(z.double(), exact, rtol=1e-6, atol=1e-6)
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def test_waves_stay_in_float32():
    passes = ByHand(perceptron(n_waves=4), torch.bfloat16)
    passes.forward(torch.randn(50, 5, generator=generator(4)))
    assert [after.dtype for *_, after in passes.steps] == [torch.float32, torch.bfloat16, torch.bfloat16]


def frozen():
    network = perceptron()
    network.body[0].requires_grad_(False)
    return network


def with_a_part_of_its_own():
    network = perceptron()
    network.temperature = torch.nn.Parameter(torch.ones(()))
    return network


class WithNamesOfOurs(torch.nn.Module):
    """A user's module may call its parts as ours does."""

    def __init__(self):
        super().__init__()
        self.hidden_layers = torch.nn.ModuleList([torch.nn.Linear(5, 2)])

    def forward(self, x):
        return self.hidden_layers[0](x)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (perceptron, ByHand),
        (guided, ByHand),
        (lambda: perceptron(()), ByHand),
        (frozen, ByAutograd),
        (with_a_part_of_its_own, ByAutograd),
        (lambda: torch.nn.Linear(5, 2), ByAutograd),
        (WithNamesOfOurs, ByAutograd),
    ],
)
def test_only_whole_networks_of_ours_are_passed_through_by_hand(make, kind):
    assert type(passes_through(make(), torch.float32)) is kind


def test_by_autograd_gradients_of_what_is_frozen_are_left_alone():
    network = frozen()
    z, gradients = z_and_gradients(ByAutograd, network, torch.float32, torch.randn(50, 5, generator=generator(4)))
    assert z.isfinite().all()
    assert not gradients[0].any()
    assert gradients[2].any()
