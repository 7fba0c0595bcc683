from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from parametric_umap.encoder import ACTIVATIONS, Encoder, Standardize, checked_encoder, parts

CONTAINERS = [np.asarray, sp.csr_array, sp.csr_matrix]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def new_encoder(n_features=5, n_components=2, hidden_layer_sizes=(8, 4), activation="silu", seed=0):
    standardize = Standardize(np.arange(n_features), 2.0)
    return Encoder(standardize, n_components, hidden_layer_sizes, activation, generator(seed))


def data(dtype=np.float64, offset=0.0, unit=1.0):
    """Rows with a few zeros and a different scale in every feature."""
    X = np.random.default_rng(0).normal(size=(5000, 4)) * [1, 2, 0.5, 7] + 3
    X[:, 2][X[:, 2] < 3] = 0
    return (X * unit + offset).astype(dtype)


def expected_standardization(X):
    X = X.astype(np.float64)
    centred = X - X.mean(axis=0)
    return centred / np.sqrt((centred**2).mean())


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("offset", "unit"), [(0, 1), (1e3, 1), (0, 1e-20), (0, 1e20), (1e6, 1), (1e9, 100), (-1e9, 1000)]
)
def test_standardize_equals_standardization_in_float64(container, dtype, offset, unit):
    X = data(dtype, offset, unit)
    standardize = Standardize.of(container(X))
    expected = expected_standardization(X)
    standardized = standardize(torch.from_numpy(X))
    assert standardized.dtype == torch.float32
    np.testing.assert_allclose(standardized, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("container", CONTAINERS)
def test_standardize_keeps_the_differences_of_float64_rows_under_a_large_offset(container):
    X = 1e9 + data()
    standardized = Standardize.of(container(X))(torch.from_numpy(X)).numpy().astype(np.float64)
    differences = np.diff(standardized, axis=0)
    expected = np.diff(expected_standardization(X), axis=0)
    np.testing.assert_allclose(differences, expected, atol=1e-6)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 3.3, -1e9 / 3, 1e-20, 1e20])
def test_standardize_of_equal_rows_only_centres(container, dtype, value):
    X = (value * np.array([1, 0.7, -0.1]) * np.ones((1000, 1))).astype(dtype)
    standardize = Standardize.of(container(X))
    assert standardize.scale == 1
    np.testing.assert_allclose(standardize(torch.from_numpy(X)), 0, atol=1e-6 * abs(value))


def test_standardize_leaves_the_rows_given_unchanged():
    X = data()
    rows = torch.from_numpy(X.copy())
    Standardize.of(X)(rows)
    assert (rows.numpy() == X).all()


def test_standardize_travels_with_the_state_of_the_module():
    """Loading the state dict of one encoder into another makes them the same map."""
    rows = torch.from_numpy(data())
    fitted, other = (Encoder(Standardize.of(X), 2, [3], "relu", generator(len(X))) for X in (data(), data(unit=5)[:99]))
    other.load_state_dict(fitted.state_dict())
    assert (other(rows) == fitted(rows)).all()


@pytest.mark.parametrize("hidden_layer_sizes", [(), (7,), [16, 8, 4]])
@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_encoder_has_the_widths_asked_for(hidden_layer_sizes, n_components):
    encoder = new_encoder(6, n_components, hidden_layer_sizes)
    linear = [layer for layer in encoder.modules() if isinstance(layer, nn.Linear)]
    widths = [6, *hidden_layer_sizes, n_components]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(pairwise(widths))
    assert encoder(torch.zeros(3, 6)).shape == (3, n_components)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_encoder_is_affine_layers_with_the_activation_between(name):
    functions = {
        "silu": lambda x: x / (1 + np.exp(-x)),
        "relu": lambda x: np.maximum(x, 0),
        "gelu": lambda x: x * (1 + torch.erf(torch.from_numpy(x) / 2**0.5).numpy()) / 2,
        "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
        "tanh": np.tanh,
    }
    encoder = new_encoder(5, 2, (8, 4), name)
    x = np.random.default_rng(0).normal(size=(20, 5)) * 3
    weights = [parameter.detach().double().numpy() for parameter in encoder.parameters()]
    expected = (x - np.arange(5)) / 2
    for i in range(0, 6, 2):
        expected = expected @ weights[i].T + weights[i + 1]
        if i < 4:
            expected = functions[name](expected)
    np.testing.assert_allclose(encoder(torch.from_numpy(x)).detach(), expected, atol=1e-5)


def test_initial_weights_come_from_the_generator_only():
    state = torch.get_rng_state()
    encoders = [new_encoder(seed=seed) for seed in (0, 0, 1)]
    assert (torch.get_rng_state() == state).all()
    for same, again, other in zip(*(encoder.parameters() for encoder in encoders), strict=True):
        assert (same == again).all()
        assert (same != other).all()


def test_initial_weights_have_the_distribution_of_torch():
    layer = new_encoder(400, 300, ()).network.head
    assert layer.weight.abs().max() <= 0.05
    assert layer.weight.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.01)
    assert layer.weight.mean().abs() < 5e-4
    assert 0.03 < layer.bias.abs().max() <= 0.05


def test_encoder_stays_float32_under_a_float64_default():
    expected = new_encoder()
    X = data()
    torch.set_default_dtype(torch.float64)
    try:
        encoder = new_encoder()
        copied = checked_encoder(nn.Linear(4, 2), X, 2)
        rows = torch.from_numpy(X)
        outputs = [new_encoder(4)(rows), copied(rows.float()), Standardize.of(X)(rows)]
    finally:
        torch.set_default_dtype(torch.float32)
    tensors = [*encoder.state_dict().values(), *copied.state_dict().values(), *outputs]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    for parameter, expected_parameter in zip(encoder.parameters(), expected.parameters(), strict=True):
        assert (parameter == expected_parameter).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("container", CONTAINERS)
def test_copy_leaves_the_module_as_it_was(container, training):
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)).double()
    module.train(training)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    encoder = checked_encoder(module, container(data()), 2)
    assert all((module.state_dict()[name] == value).all() for name, value in before.items())
    assert module.state_dict().keys() == before.keys()
    assert module.training is training
    assert {value.dtype for name, value in module.state_dict().items() if "num_batches" not in name} == {torch.float64}
    assert not encoder.training
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert {parameter.device.type for parameter in encoder.parameters()} == {"cpu"}
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(1)
    assert all((module.state_dict()[name] == value).all() for name, value in before.items())


def test_copy_starts_from_the_weights_and_statistics_of_the_module():
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)).eval()
    module[1].running_mean.fill_(0.3)
    encoder = checked_encoder(module, data(), 2)
    rows = torch.from_numpy(data(np.float32))
    assert (encoder(rows) == module(rows)).all()


def test_copy_keeps_which_parameters_are_frozen():
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    module[0].requires_grad_(False)
    encoder = checked_encoder(module, data(), 2)
    assert [parameter.requires_grad for parameter in encoder.parameters()] == [False, False, True, True]


class Picks(nn.Module):
    """Takes a column, or an attribute, that the rows may not have, or gives something that is no tensor."""

    def __init__(self, function):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.function = function

    def forward(self, x):
        return self.function(x, self.weight)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            nn.Linear(4, 3),
            r"encoder must map 2 rows to a tensor of shape \(2, 2\) \(n_components=2\); it gave shape \(2, 3\).",
        ),
        (
            nn.Sequential(nn.Linear(4, 2), nn.Flatten(0)),
            r"tensor of shape \(2, 2\) \(n_components=2\); it gave shape \(4,\).",
        ),
        (Picks(lambda x, weight: (x[:, :2] * weight,)), r"tensor of shape \(2, 2\) \(n_components=2\); it gave tuple."),
        (nn.Linear(9, 2), r"encoder does not take rows of shape \(2, 4\): mat1 and mat2 shapes cannot be multiplied"),
        (nn.Conv2d(1, 2, 3), r"encoder does not take rows of shape \(2, 4\): "),
        (
            Picks(lambda x, weight: x[:, [7, 8]] * weight),
            r"encoder does not take rows of shape \(2, 4\): index 7 is out",
        ),
        (nn.Flatten(), r"encoder must map 2 rows"),
        (
            Picks(lambda x, weight: x[:, :2]).requires_grad_(False),
            "^encoder must have parameters that require a gradient",
        ),
    ],
)
def test_modules_that_do_not_fit_are_refused(module, message):
    with pytest.raises(ValueError, match=message):
        checked_encoder(module, data(), 2)


def test_a_function_that_fails_to_make_a_module_is_named():
    def without_layers(n_inputs, n_outputs):
        raise ZeroDivisionError("no layers")

    with pytest.raises(ValueError, match=r"^encoder\(4, 2\) raised ZeroDivisionError\('no layers'\)"):
        checked_encoder(without_layers, data(), 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_network_of_prepared_rows_equals_the_encoder(dtype):
    rows = torch.from_numpy(data(dtype))
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    own = Encoder(Standardize.of(data(dtype)), 2, [6], "gelu", generator())
    for encoder, expected in ((own, own(rows)), (module, module(rows.float()))):
        prepare, network = parts(encoder)
        prepared = prepare(rows)
        assert prepared.dtype == torch.float32
        assert (network(prepared) == expected).all()
        trained = {id(parameter) for parameter in network.parameters()}
        assert trained == {id(parameter) for parameter in encoder.parameters()}
