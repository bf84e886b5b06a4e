"""Compares Colonnade with PyTorch step by step: same weights, images and optimizer.

    parity_test.py COLONNADE MPIRUN
"""
import functools
import itertools
import pathlib
import sys
import tempfile
import unittest

import numpy
import torch
import torchvision

import safetensors
from iresnet import Classifier, IResNet
from program import Program, metrics

CLASSES, BATCH, BATCHES, STEPS = 24, 13, 5, 20
RANKS = (1, 3)  # a batch of 13 on three ranks is 5, 4 and 4
TRACKED = 7  # num_batches_tracked before training
HEIGHT, WIDTH = 17, 20  # odd; iresnet flattens 2 x 2 x 512, so that the order matters


class Case:
    """A model, its initial weights, and its name in colonnade."""

    def __init__(self, trunk, make, bias):
        self.trunk, self.make, self.bias = trunk, make, bias

    @functools.cached_property
    def start(self):
        """A state_dict in which no tensor is all ones or zeros.

        The biases of batch norms keep nearly all outputs away from the kink of ReLU, even after a
        shortcut of some units is added. If rounding carries one output across the kink, gradients
        of earlier layers change by one percent, also between PyTorch's f32 and f64.
        """
        torch.manual_seed(1)
        model = self.make()
        for module in model.modules():
            if isinstance(module, torch.nn.PReLU):
                torch.nn.init.uniform_(module.weight, 0.1, 0.4)
            if not isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                continue
            torch.nn.init.uniform_(module.weight, 0.2, 0.4)
            module.bias.data = torch.where(torch.rand_like(module.bias) < 0.8, 1.0, -4.0)
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.num_batches_tracked.fill_(TRACKED)
        return model.state_dict()


def resnet18():
    return torchvision.models.resnet18(num_classes=CLASSES)


def resnet50():
    return torchvision.models.resnet50(num_classes=CLASSES)


def iresnet18():
    return Classifier(IResNet([2, 2, 2, 2], HEIGHT, WIDTH), CLASSES)


CASES = [Case("resnet18", resnet18, True), Case("iresnet18", iresnet18, False)]
BOTTLENECKS = Case("resnet50", resnet50, True)


def named(state):
    """Returns the tensors under the names used in files, without the prefix `trunk.`."""
    return {name.removeprefix("trunk."): tensor.numpy() for name, tensor in state.items()}


def samples():
    rng = numpy.random.default_rng(1)
    images = rng.normal(size=(BATCH * BATCHES, HEIGHT, WIDTH, 3)).astype(numpy.float32)
    labels = rng.integers(CLASSES, size=len(images))
    labels[0] = CLASSES - 1  # so that the number of classes is known
    return images, labels


IMAGES, LABELS = samples()


def batch(step, dtype):
    rows = slice(step % BATCHES * BATCH, (step % BATCHES + 1) * BATCH)
    return torch.tensor(IMAGES[rows], dtype=dtype).permute(0, 3, 1, 2), torch.tensor(LABELS[rows])


def train(case, steps, dtype, lr, momentum=0, weight_decay=0):
    """Trains in PyTorch; returns the losses and the model."""
    model = case.make()
    model.load_state_dict(case.start)
    model = model.to(dtype).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr, momentum, weight_decay=weight_decay)
    losses = []
    for step in range(steps):
        images, labels = batch(step, dtype)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model


def top(model, places):
    """Returns the top-k accuracy over all samples; `places`: k."""
    with torch.no_grad():
        scores = model.eval()(torch.tensor(IMAGES).permute(0, 3, 1, 2))
    best = scores.topk(places).indices.numpy()
    return numpy.mean([label in row for label, row in zip(LABELS, best)])


def differences(ours, theirs, start):
    """Returns each tensor's error relative to its change in training, and that of all trained ones
    together. If a change is rounding only, as for a bias before a batch norm, a thousandth of the
    largest change is the reference."""
    gaps, changes = {}, {}
    for name, tensor in theirs.items():
        if tensor.dtype != numpy.int64:
            gaps[name] = numpy.linalg.norm(ours[name].astype(numpy.float64) - tensor)
            changes[name] = numpy.linalg.norm(tensor.astype(numpy.float64) - start[name])
    trained = [name for name in gaps if "running" not in name]
    least = 1e-3 * max(changes[name] for name in trained)
    each = {name: gaps[name] / max(changes[name], least) for name in gaps}
    whole = [numpy.linalg.norm([of[name] for name in trained]) for of in (gaps, changes)]
    return each, whole[0] / whole[1]


class Parity(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.program = Program(BINARY, MPIRUN, self.folder.name)
        self.data = pathlib.Path(self.folder.name) / "data.safetensors"
        safetensors.save(self.data, {"images": IMAGES, "labels": LABELS})

    def train(self, case, ranks, steps, **settings):
        """Trains the same in colonnade; returns the folder of the run."""
        beginning = pathlib.Path(self.folder.name) / "beginning.safetensors"
        safetensors.save(beginning, named(case.start))
        return self.program.train(ranks, {
            "precision": "f32", "run.steps": steps, "init.from": beginning,
            "data.kind": "safetensors", "data.path": self.data, "data.eval_path": self.data,
            "data.global_batch_size": BATCH, "data.shuffle": "false",
            "model.trunk": case.trunk, "model.batch_norm": "sync",
            "head.bias": str(case.bias).lower(), "optimizer.decay_norm_and_bias": "true",
            **{key.replace("__", "."): value for key, value in settings.items()}})

    def assert_near(self, ours, theirs, start, one, whole):
        each, together = differences(ours, theirs, start)
        worst = max(each, key=each.get)
        self.assertLess(each[worst], one, worst)
        self.assertLess(together, whole)

    def test_gradients(self):
        """One step at learning rate 1 without momentum and decay subtracts the gradients. PyTorch
        computes them in f64, so any difference is Colonnade's rounding."""
        for case in (*CASES, BOTTLENECKS):
            with self.subTest(trunk=case.trunk):
                (loss,), model = train(case, 1, torch.float64, lr=1)
                run = self.train(case, 1, 1, optimizer__lr=1, optimizer__momentum=0,
                                 optimizer__weight_decay=0)
                self.assertAlmostEqual(metrics(run, "train")[0]["loss"] / loss, 1, delta=1e-6)
                self.assert_near(self.program.export(run, 1), named(model.state_dict()),
                                 named(case.start), one=1e-3, whole=1e-4)

    def test_training(self):
        """Twenty steps in f32 on both sides. At this learning rate the loss falls by at least a
        fifth, and training amplifies rounding little (docs/numerics.md): a tolerance of 1e-5 in the
        loss detects a step that is wrong by 1e-4. The decay is large, to affect every tensor."""
        rule = {"lr": 1e-4, "momentum": 0.9, "weight_decay": 0.1}
        for case in CASES:
            losses, model = train(case, STEPS, torch.float32, **rule)
            self.assertLess(losses[-1], 0.8 * losses[0])
            for ranks in RANKS:
                with self.subTest(trunk=case.trunk, ranks=ranks):
                    run = self.train(case, ranks, STEPS, checkpoint__initial="true",
                                     optimizer__lr=rule["lr"],
                                     optimizer__momentum=rule["momentum"],
                                     optimizer__weight_decay=rule["weight_decay"])
                    self.check_beginning(self.program.export(run, 0), named(case.start))
                    self.check_end(run, losses, model, case)

    def check_beginning(self, begun, start):
        """The exported weights equal the initial ones bit for bit."""
        self.assertEqual(set(begun), set(start))
        for name, tensor in start.items():
            self.assertEqual(begun[name].dtype, tensor.dtype, name)
            self.assertEqual(begun[name].shape, tensor.shape, name)
            self.assertEqual(begun[name].tobytes(), tensor.tobytes(), name)

    def check_end(self, run, losses, model, case):
        """Compares a run of twenty steps with PyTorch's."""
        ours = [line["loss"] for line in metrics(run, "train")]
        numpy.testing.assert_allclose(ours, losses, rtol=1e-5)
        trained, state = self.program.export(run, STEPS), named(model.state_dict())
        self.assert_near(trained, state, named(case.start), one=1e-3, whole=1e-4)
        for name, tensor in state.items():
            if tensor.dtype == numpy.int64:
                self.assertEqual((trained[name], tensor), (TRACKED + STEPS, TRACKED + STEPS))
        (score,) = metrics(run, "eval")
        self.assertAlmostEqual(score["top1"], top(model, 1))
        self.assertAlmostEqual(score["top5"], top(model, 5))


if __name__ == "__main__":
    BINARY, MPIRUN = sys.argv[1:3]
    torch.set_num_threads(1)  # more threads than cores would wait for each other
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
