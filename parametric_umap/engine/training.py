"""The state of training, and the one step that moves it."""

from contextlib import closing, contextmanager, nullcontext
from functools import partial

import numpy as np
import torch

from .adam import Adam
from .captured import CapturedEpoch
from .cores import SharedCores
from .muon import Muon
from .passes import passes_through
from .phases import Batch, EncodedBatch

# Numbers, and at most rows, of noise that are drawn once; every step takes a window of them.
NOISE_SIZE = 2**26
NOISE_ROWS = 4096
# The number of rows that are encoded is a multiple of this.
ROUNDING = 64
SENT_BYTES = 2**26  # of rows of the host that a device is sent at a time


class Training:
    """What training has come to: all that a further epoch depends on.

    The optimizer is Adam (Kingma, Ba 2015), and Muon for `matrices`; its learning rate falls from the phase's to zero
    along half a cosine.

    Parameters
    ----------
    network : torch.nn.Module
        On the device; its parameters that require a gradient are trained in place.
    rows : Tensor or HostRows
        What `as_rows` made of the data.
    phases : sequence of SpectralInit or MainEmbedding
        What is learned, one after the other.
    generator : torch.Generator
        Source of the batches and of the noise.
    input_noise : float, default=0.0
        Standard deviation of the noise added to every feature of the rows.
    precision : {torch.float32, torch.bfloat16}, default=torch.float32
        What the network's matrix products are rounded to, where it does not say otherwise itself.
    matrices : sequence of torch.nn.Parameter, default=()
        Matrices of the network's hidden layers that Muon moves.
    shares_cores : bool, default=False
        Whether steps on the CPU take fewer threads while other processes want the cores. The network must be one that
        may be called twice: not random, and without a count of its calls.

    Attributes
    ----------
    losses : dict of {str: list of float}
        Mean loss of every epoch so far, by the name of the phase, and what its terms write down.
    phase : SpectralInit, MainEmbedding or None
        The phase that is being learned.
    epoch : int
        Number of its epochs so far.
    optimizer : Adam or None
        That of the phase.
    """

    def __init__(
        self,
        network,
        rows,
        phases,
        generator,
        *,
        input_noise=0.0,
        precision=torch.float32,
        matrices=(),
        shares_cores=False,
    ):
        self.network = network
        takes = getattr(network, "takes", None) or precision
        self.rows = rows.to(takes)
        self.phases = phases
        self.generator = generator
        self.precision = precision
        self.matrices = matrices
        self.noise = Noise(input_noise, self.rows, generator)
        self.cores = SharedCores(torch.get_num_threads()) if shares_cores else None
        self.losses = {}
        self.phase = self.optimizer = self.passes = self.kept = None
        self.epoch = 0

    @contextmanager
    def within(self, phase):
        """Be in a phase for a time: its epochs may be run.

        Parameters
        ----------
        phase : SpectralInit or MainEmbedding
            One of the phases.
        """
        n_steps = phase.n_epochs * phase.batches_per_epoch
        self.passes = passes_through(phase.network_of(self.network), self.precision)
        modules = torch.nn.ModuleList([self.passes.network, *phase.terms])
        parameters = [parameter for parameter in modules.parameters() if parameter.requires_grad]
        self.phase, self.epoch = phase, 0
        self.losses.setdefault(phase.name, [])
        self.optimizer = self._optimizer(parameters, _learning_rates(phase.learning_rate, n_steps))
        self.elapsed = torch.linspace(0, 1, n_steps, device=self.rows.device).view(phase.n_epochs, -1)
        if self.kept is not None and self.kept[0]["phase"] == phase.name:
            self._go_on(modules)
        self.run_batches = self._runner(n_steps)
        training_mode(modules)
        try:
            with nullcontext() if self.cores is None else self.cores.within():
                yield
        finally:
            modules.eval()
            self.optimizer.release()
            self.phase = self.optimizer = self.run_batches = self.passes = None

    def run(self, phase, on_epoch):
        """Train through a phase.

        Parameters
        ----------
        phase : SpectralInit or MainEmbedding
            One of the phases.
        on_epoch : callable
            Called as ``on_epoch(phase, epoch, loss)`` after every epoch, `epoch` counted from 1. If it returns True,
            the phase ends there.
        """
        with self.within(phase):
            for epoch in range(self.epoch + 1, phase.n_epochs + 1):
                if on_epoch(phase, epoch, self.run_epoch()):
                    break

    def state(self):
        """Say how far training has come, between two epochs of a phase.

        Returns
        -------
        place : dict
            The phase, its epoch and the losses so far, as JSON takes them.
        tensors : dict of {str: Tensor}
            Weights and buffers of the networks, the moments of the optimizer, and the states of what is random.
        """
        modules = torch.nn.ModuleList([self.passes.network, *self.phase.terms])
        tensors = {f"modules.{name}": tensor for name, tensor in modules.state_dict().items()}
        tensors |= {f"optimizer.{name}": getattr(self.optimizer, name) for name in ("mean", "square", "time")}
        tensors |= {"random.ours": self.generator.get_state(), "random.torch": torch.get_rng_state()}
        if self.rows.device.type == "cuda":  # only on a GPU
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.rows.device)
        return {"phase": self.phase.name, "epoch": self.epoch, "losses": self.losses}, tensors

    def load_state(self, place, tensors):
        """Be ready to go on where `state` was asked for: in the phase that it names, without those before.

        Parameters
        ----------
        place, tensors
            What `state` gave.
        """
        self.kept = place, tensors
        names = [phase.name for phase in self.phases]
        self.phases = self.phases[names.index(place["phase"]) :]
        self.losses = place["losses"]

    def _go_on(self, modules):
        place, tensors = self.kept
        prefix = "modules."
        modules.load_state_dict(
            {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
        )
        for name in ("mean", "square", "time"):
            getattr(self.optimizer, name).copy_(tensors[f"optimizer.{name}"])
        self.generator.set_state(tensors["random.ours"])
        torch.set_rng_state(tensors["random.torch"])
        if self.rows.device.type == "cuda":  # only on a GPU
            torch.cuda.set_rng_state(tensors["random.cuda"], self.rows.device)
        self.epoch, self.kept = place["epoch"], None

    def run_epoch(self):
        """Train for an epoch of the phase, and write its losses down.

        Returns
        -------
        loss : float
            Mean over its batches.

        Raises
        ------
        FloatingPointError
            If it is not finite.
        """
        phase = self.phase
        starts = self.noise.draw(phase.batches_per_epoch)
        batches = (*phase.draw_epoch(self.generator), self.elapsed[self.epoch], starts)
        loss = self.run_batches([part.to(self.rows.device) for part in batches]) / phase.batches_per_epoch
        self.epoch += 1
        if not np.isfinite(loss):
            # The last step of the phase before may be what has led here.
            suspects = self.phases[: self.phases.index(phase) + 1] if self.epoch == 1 else [phase]
            blamed = " or ".join(suspect.may_diverge_by for suspect in suspects)
            raise FloatingPointError(
                f"the loss of phase {phase.name!r} became {loss} in epoch {self.epoch}; "
                f"a smaller {blamed} may help; the learning rate is {phase.learning_rate}."
            )
        self.losses[phase.name].append(loss)
        for term in phase.terms:
            for name, value in term.after_epoch(phase.batches_per_epoch).items():
                self.losses.setdefault(name, []).append(value)
        return loss

    def step(self, x, encoded, position_in_batch, batch):
        """Take one step: encode a batch, find the forces on its coordinates, move the weights.

        Parameters
        ----------
        x : Tensor of shape (n_encoded, n_features)
            The rows to be encoded.
        encoded : Tensor of shape (n_encoded,), int64
            Their indices; only read if there are terms.
        position_in_batch : Tensor of shape (n_rows,), int64
            Which of them each row of the batch is.
        batch : sequence of Tensor
            What a `Batch` has, how much of the phase is over, from 0 to 1, and where the noise begins.

        Returns
        -------
        loss : Tensor of shape (), float32
            The batch's loss, before the step.
        """
        loss = self.add_gradient(x, encoded, position_in_batch, batch)
        self.optimizer.step()
        return loss

    def add_gradient(self, x, encoded, position_in_batch, batch):
        """Find the gradient of a step, and its loss; the arguments are those of `step`."""
        *batch, elapsed, start = batch
        rows, targets = Batch(*batch)
        z = self.passes.forward(self.noise.added_to(x, start))
        of_rows = z.index_select(0, position_in_batch)
        loss, gradient = self.phase.loss.value_and_gradient(of_rows, targets)
        gradient = torch.zeros_like(z).index_add_(0, position_in_batch, gradient)
        if self.phase.terms:
            z.requires_grad_().grad = gradient  # which those of the terms are added to
            encoded_batch = EncodedBatch(encoded, x, z, z.index_select(0, position_in_batch), elapsed, rows, targets)
            of_terms = sum(term(encoded_batch) for term in self.phase.terms)
            of_terms.backward()
            loss, gradient = loss + of_terms.detach(), z.grad
        self.passes.backward(gradient)
        return loss

    def _optimizer(self, parameters, learning_rates):
        if not self.matrices:
            return Adam(parameters, learning_rates)
        return Muon(parameters, learning_rates, self.matrices, self.precision)

    def _runner(self, n_steps):
        """What runs the batches of an epoch, and gives the sum of their losses."""
        if self.rows.device.type != "cpu":
            if isinstance(self.rows, torch.Tensor):
                return CapturedEpoch(self._step_of_tensor, n_steps)
            return partial(self._run_sent, CapturedEpoch(self._step_of_sent, 1))  # the last call may have fewer batches
        if not isinstance(self.rows, torch.Tensor):
            return self._run_from_the_host
        return self._run_beside_others if self.cores is not None and not self.phase.terms else self._run_one_by_one

    def _gathered(self, batch):
        """What a step takes, of rows that are all on the device."""
        encoded, position_in_batch = _each_once(batch[0])
        return self.rows.index_select(0, encoded), encoded, position_in_batch, batch

    def _step_of_tensor(self, batch):
        return self.step(*self._gathered(batch))

    def _run_one_by_one(self, batches):
        return float(sum(map(self._step_of_tensor, zip(*batches, strict=True))))

    def _run_beside_others(self, batches):
        total = 0
        for batch in zip(*batches, strict=True):
            arguments = self._gathered(batch)
            with self.cores.step((self.phase.name, len(arguments[0])), partial(self._outcome, arguments)):
                total += self.step(*arguments)
        return float(total)

    def _outcome(self, arguments):
        """All that a step computes by sums and products, before it moves anything."""
        loss = self.add_gradient(*arguments)
        outcome = torch.cat([loss.view(1), self.optimizer.gradient, self.optimizer.directions()])
        self.optimizer.gradient.zero_()
        return outcome

    def _run_from_the_host(self, batches):
        encoded, positions = zip(*map(_each_once, batches[0]), strict=True)
        total = 0
        with closing(self.rows.batches(encoded)) as coming:  # its thread ends with the epoch, an interrupted one too
            for arguments in zip(coming, encoded, positions, zip(*batches, strict=True), strict=True):
                total += self.step(*arguments)
        return float(total)

    def _run_sent(self, run, batches):
        """Send a device the rows of some batches at a time, the next while it learns the last."""
        n_together = max(1, SENT_BYTES // (4 * batches[0].shape[1] * self.rows.shape[1]))
        wanted = [rows.flatten() for rows in batches[0].cpu().split(n_together)]  # the one wait
        parts = zip(*(part.split(n_together) for part in batches), strict=True)
        total = 0.0
        with closing(self.rows.batches(wanted)) as coming:
            for x, part in zip(coming, parts, strict=True):
                total += run([x.view(*part[0].shape, -1), *part])
        return total

    def _step_of_sent(self, batch):
        x, *batch = batch
        return self.step(x, batch[0], torch.arange(len(x), device=x.device), batch)


def train(network, rows, phase, generator, *, input_noise=0.0, precision=torch.float32, matrices=(), on_epoch):
    """Train a network through one phase.

    Parameters
    ----------
    network, rows, generator, input_noise, precision, matrices
        As in `Training`.
    phase : SpectralInit or MainEmbedding
        What is learned.
    on_epoch : callable
        As in `Training.run`.

    Returns
    -------
    losses : ndarray of shape (n_epochs,), float64
        Mean loss of every epoch's batches, of those that were run.

    Raises
    ------
    FloatingPointError
        If the loss is no longer finite.
    """
    how = {"input_noise": input_noise, "precision": precision, "matrices": matrices}
    training = Training(network, rows, [phase], generator, **how)
    training.run(phase, on_epoch)
    return np.array(training.losses[phase.name], dtype=np.float64)


def training_mode(module):
    """Put a module into training mode, but for its frozen parts: the statistics of a pretrained layer stay, too.

    Parameters
    ----------
    module : torch.nn.Module
        Its parts whose parameters all require no gradient, of which there are some, are put into evaluation mode.
    """
    module.train()
    for part in module.modules():
        parameters = list(part.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            part.eval()


def _learning_rates(first, n_steps):
    return first * (1 + np.cos(np.pi * np.arange(n_steps) / n_steps)) / 2


class Noise:
    """Gaussian noise for batches of rows. Drawing it anew for each would cost as much as the network's first layer.

    Parameters
    ----------
    scale : float
        Its standard deviation; with 0 there is none.
    rows : Tensor or HostRows
        The rows that it is for; it has their width, their precision and their device.
    generator : torch.Generator
        Source of randomness.
    """

    def __init__(self, scale, rows, generator):
        n_features = rows.shape[1]
        self.generator = generator
        self.n_rows = min(NOISE_ROWS, max(64, NOISE_SIZE // n_features))
        self.pool = None
        if scale:
            pool = torch.empty((self.n_rows, n_features), dtype=torch.float32, device=generator.device)
            self.pool = pool.normal_(0, scale, generator=generator).to(rows.device, rows.dtype)

    def draw(self, n_batches):
        """Draw the places of the pool where the noise of so many batches begins."""
        return torch.randint(self.n_rows, (n_batches,), generator=self.generator, device=self.generator.device)

    def added_to(self, x, start):
        """The rows x with the noise that begins at `start`."""
        if self.pool is None:
            return x
        return x + self.pool.index_select(0, (start + torch.arange(len(x), device=x.device)) % self.n_rows)


def _each_once(index):
    """The rows of a batch without repetition, and each one's position among them; on a GPU, all as they come.

    The number of rows is rounded up, by taking some twice, since matrix products are prepared for every new shape. A
    GPU would have to wait for it to be known.
    """
    if index.device.type != "cpu":
        return index, torch.arange(len(index), device=index.device)
    unique, position = torch.unique(index, return_inverse=True)
    n_rows = -(-len(unique) // ROUNDING) * ROUNDING
    return unique[torch.arange(n_rows) % len(unique)], position
