"""Common implementations of a classification head in PyTorch: the peers of `colonnade bench head`.

    mpirun -n 2 python3 bench/peers/head.py loss_parallel --classes 100000 --batch 512
    python3 bench/peers/head.py plain --check FILE      repeat the steps recorded in FILE

  loss_parallel   DTensor: ColwiseParallel and loss_parallel, classes sharded over the ranks
  partial_fc      handwritten as in InsightFace's Partial FC: gathered features, a local product,
                  all-reduces of maxima, sums and targets, in-place softmax, manual gradients
  plain           nn.Linear and cross_entropy in one process
  compiled        the same with torch.compile
  cce, liger, quack
                  linear and loss in one function: Apple's cut-cross-entropy, Liger, QuACK; GPU only

bf16 means autocast with f32 weights, or with --bf16-weights, weights and momentum in bf16. The
optimizer is SGD with momentum, fused if this PyTorch supports it. The last line of the output has
the figures as JSON; with --check, the relative differences of losses, gradient and updated weights
from the file.

Exits with 3 if the peer cannot run here; the last line of the error output states why.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import sys
import time


def cannot(why):
    """Exits with 3: this peer cannot run here."""
    print(why, file=sys.stderr, flush=True)
    os._exit(3)  # do not wait for threads of a partially initialized library


try:
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.distributed._functional_collectives import AsyncCollectiveTensor
    from torch.distributed.tensor import DTensor, Shard
    from torch.distributed.tensor.parallel import (ColwiseParallel, loss_parallel,
                                                   parallelize_module)
    from torch.nn.functional import cross_entropy
except ImportError as missing:
    cannot(f"PyTorch 2.5 or later is not installed for {sys.executable} ({missing})")

TORCH = {"f32": torch.float32, "bf16": torch.bfloat16}


class World:
    """The ranks started by mpirun, connected by gloo or NCCL; or this process alone."""

    def __init__(self, a):
        self.rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", 0))
        self.size = int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1))
        if a.device == "cuda":
            local = int(os.environ.get("OMPI_COMM_WORLD_LOCAL_RANK", 0))
            if local >= torch.cuda.device_count():
                cannot(f"{self.size} ranks, {torch.cuda.device_count()} GPUs: NCCL needs one each")
            torch.cuda.set_device(local)
        dist.init_process_group("nccl" if a.device == "cuda" else "gloo", rank=self.rank,
                                world_size=self.size, init_method=f"tcp://127.0.0.1:{a.port}")

    def share(self, count):
        """Returns (begin, end) of this rank's part; the first ranks take the remainder."""
        each, more = divmod(count, self.size)
        begin = self.rank * each + min(self.rank, more)
        return begin, begin + each + (self.rank < more)

    def gathered(self, mine, count):
        """Returns the rows of all ranks, `count` in total."""
        if self.size == 1:
            return mine
        most = -(-count // self.size)
        padded = mine.new_zeros(most, *mine.shape[1:])
        padded[:len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        sizes = [count // self.size + (r < count % self.size) for r in range(self.size)]
        return torch.cat([part[:size] for part, size in zip(parts, sizes)])

    def largest(self, number):
        numbers = [None] * self.size
        dist.all_gather_object(numbers, number)
        return max(numbers)

    def sum(self, number):
        numbers = [None] * self.size
        dist.all_gather_object(numbers, number)
        return sum(numbers)


def sgd(parameters, a):
    for how in ({"fused": True}, {"foreach": True}):
        try:
            return torch.optim.SGD(parameters, lr=a.lr, momentum=a.momentum, **how)
        except (TypeError, RuntimeError):  # not supported by this PyTorch or device
            continue
    return torch.optim.SGD(parameters, lr=a.lr, momentum=a.momentum)


class Peer:
    """A head that trains on one batch. x: this rank's rows; y: their labels."""

    def __init__(self, a, world, x, y):
        self.a, self.world = a, world
        self.begin, self.end = world.share(a.classes)
        self.x, self.y = x, y
        self.narrow = a.precision == "bf16"
        self.weights_dtype = TORCH["bf16" if a.bf16_weights else "f32"]

    def autocast(self):
        return torch.autocast(self.a.device, torch.bfloat16,
                              enabled=self.narrow and not self.a.bf16_weights)

    def empty_weight(self):
        """Returns this rank's rows, uninitialized."""
        return torch.empty(self.end - self.begin, self.a.features, dtype=self.weights_dtype,
                           device=self.a.device)


class LossParallel(Peer):
    """As in PyTorch's tutorial on tensor parallelism; the head is created shard by shard."""

    def __init__(self, *args):
        super().__init__(*args)
        from torch.distributed.device_mesh import init_device_mesh
        a = self.a
        mesh = init_device_mesh(a.device, (self.world.size,))
        head = nn.Linear(a.features, a.classes, bias=False, device="meta",
                         dtype=self.weights_dtype)
        plan = ColwiseParallel(input_layouts=Shard(0), output_layouts=Shard(-1),
                               use_local_output=False)
        shards = DTensor.from_local(self.empty_weight(), mesh, [Shard(0)], run_check=False,
                                    shape=head.weight.shape, stride=head.weight.stride())
        head.weight = nn.Parameter(shards)
        self.head = parallelize_module(head, mesh, plan)
        # Fused SGD does not support DTensor: it gets the shard, which shares the weight's memory.
        self.shard = nn.Parameter(self.head.weight.to_local().detach())
        self.weight = self.shard.detach()
        self.optimizer = sgd([self.shard], a)

    def step(self):
        x = self.x.detach().requires_grad_()
        labels = self.world.gathered(self.y, self.a.batch)
        with self.autocast():
            logits = self.head(x)
        with loss_parallel():
            loss = cross_entropy(logits.float(), labels)
            loss.backward()
        self.shard.grad = self.head.weight.grad.to_local()
        self.head.weight.grad = None
        self.optimizer.step()
        self.shard.grad = None
        # Its all-reduce over the ranks may still be running.
        self.dx = x.grad.wait() if isinstance(x.grad, AsyncCollectiveTensor) else x.grad
        return loss.detach().full_tensor() if isinstance(loss, DTensor) else loss.detach()


class PartialFc(Peer):
    """As in Partial FC at sampling rate 1: no autograd and no avoidable copies."""

    def __init__(self, *args):
        super().__init__(*args)
        self.weight = self.empty_weight()
        self.parameter = nn.Parameter(self.weight, requires_grad=False)
        self.weight = self.parameter.detach()
        self.optimizer = sgd([self.parameter], self.a)

    @torch.no_grad()
    def step(self):
        batch = self.a.batch
        x = self.world.gathered(self.x, batch)
        y = self.world.gathered(self.y, batch) - self.begin
        w = self.weight.to(x.dtype)
        e = (x @ w.T).float()
        most = e.amax(1, keepdim=True)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        rows = ((y >= 0) & (y < len(w))).nonzero()[:, 0]
        places = (rows, y[rows])
        e.sub_(most)
        target = torch.zeros_like(most)
        target[rows, 0] = e[places]
        e.exp_()
        total = e.sum(1, keepdim=True)
        dist.all_reduce(total)
        dist.all_reduce(target)
        loss = (total.log() - target).mean()
        e.div_(total)
        e[places] -= 1
        g = e.div_(batch).to(x.dtype)
        del e
        dx = (g @ w).float()
        dist.all_reduce(dx)  # gloo has no reduce_scatter
        self.dx = dx[slice(*self.world.share(batch))]
        self.parameter.grad = (g.T @ x).to(self.parameter.dtype)
        del g
        self.optimizer.step()
        self.parameter.grad = None
        return loss


class Plain(Peer):
    """nn.Linear and cross_entropy, in one process."""

    def __init__(self, *args):
        super().__init__(*args)
        a = self.a
        if self.world.size > 1:
            cannot("supports one process only")
        self.head = nn.Linear(a.features, a.classes, bias=False, device=a.device,
                              dtype=self.weights_dtype)
        self.weight = self.head.weight.detach()
        self.optimizer = sgd(self.head.parameters(), a)

    def loss_of(self, x, y):
        with self.autocast():
            logits = self.head(x)
        return cross_entropy(logits.float(), y)

    def step(self):
        x = self.x.detach().requires_grad_()
        loss = self.loss_of(x, self.y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.dx = x.grad
        return loss.detach()


class Compiled(Plain):
    def __init__(self, *args):
        super().__init__(*args)
        self.loss_of = torch.compile(self.loss_of)


def need_gpu(name):
    """Returns a module whose kernels run on GPUs only."""
    if not torch.cuda.is_available():
        cannot("its kernels require a GPU; none was found")
    try:
        return __import__(name, fromlist=["_"])
    except ImportError as missing:
        cannot(f"not installed for {sys.executable} ({missing})")


class CutCrossEntropy(Plain):
    def loss_of(self, x, y):
        function = need_gpu("cut_cross_entropy").linear_cross_entropy
        with self.autocast():
            narrow = TORCH[self.a.precision]
            return function(x.to(narrow), self.head.weight.to(narrow), y, filter_eps=None)


class Liger(Plain):
    def __init__(self, *args):
        super().__init__(*args)
        name = "liger_kernel.transformers"
        self.fused = need_gpu(name).LigerFusedLinearCrossEntropyLoss()

    def loss_of(self, x, y):
        with self.autocast():
            narrow = TORCH[self.a.precision]
            return self.fused(self.head.weight.to(narrow), x.to(narrow), y)


class Quack(Plain):
    def __init__(self, *args):
        super().__init__(*args)
        self.fused = need_gpu("quack.linear_cross_entropy").chunked_linear_cross_entropy

    def loss_of(self, x, y):
        with self.autocast():
            narrow = TORCH[self.a.precision]
            return self.fused(x.to(narrow), self.head.weight.to(narrow), y)


PEERS = {"loss_parallel": LossParallel, "partial_fc": PartialFc, "plain": Plain,
         "compiled": Compiled, "cce": CutCrossEntropy, "liger": Liger,
         "quack": Quack}
ALONE = ("plain", "compiled", "cce", "liger", "quack")  # peers that support one process only


def process_memory(key):
    """Returns bytes in RAM: VmRSS, the current value, or VmHWM, the peak."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no line {key}")


def forget_peak():
    """Resets VmHWM. Without permission it still includes the imports, which use little."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def load(path):
    """Returns the tensors of a safetensors file."""
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests" / "parity"))
    import safetensors
    return {name: torch.from_numpy(array.copy())
            for name, array in safetensors.load(path).items()}


def make(a, world, x, y):
    first, last = world.share(a.batch)
    narrow = TORCH["bf16" if a.bf16_weights or (a.peer == "partial_fc" and a.precision == "bf16")
                   else "f32"]
    return PEERS[a.peer](a, world, x[first:last].to(a.device, narrow), y[first:last].to(a.device))


def check(a, world):
    """Repeats the file's steps; returns the relative differences from its results."""
    file = load(a.check)
    a.classes, a.features = file["weight"].shape
    a.batch = len(file["labels"])
    peer = make(a, world, file["x"], file["labels"])
    peer.weight.copy_(file["weight"][peer.begin:peer.end])
    losses = torch.tensor([float(peer.step()) for _ in range(len(file["losses"]))])
    dx = world.gathered(peer.dx.float(), a.batch).cpu()
    updated = peer.weight.float().cpu()
    mine = slice(peer.begin, peer.end)
    moved = (file["updated"] - file["weight"])[mine]
    far = (updated - file["updated"][mine]).norm(dim=1) / moved.norm(dim=1)
    return {"losses": float(((losses - file["losses"]) / file["losses"]).abs().max()),
            "dx": float((dx - file["dx"]).norm() / file["dx"].norm()),
            "rows": world.largest(float(far.max())),
            "weights": world.largest(float((updated - file["updated"][mine]).norm()
                                           / moved.norm()))}


def measure(a, world):
    """Returns the times and memory of steps on random numbers."""
    cuda = a.device == "cuda"
    wait = torch.cuda.synchronize if cuda else lambda: None
    dist.barrier()
    forget_peak()
    before = process_memory("VmRSS")
    torch.manual_seed(a.seed)
    peer = make(a, world, torch.randn(a.batch, a.features),
                torch.randint(a.classes, (a.batch,)))
    peer.weight.normal_(0, 0.01)
    for _ in range(a.warm_up):
        loss = peer.step()
    times = []
    for _ in range(a.steps):
        wait()
        dist.barrier()
        start = time.perf_counter()
        loss = peer.step()
        wait()
        times.append(world.largest(1e3 * (time.perf_counter() - start)))
    taken = process_memory("VmHWM") - before
    tensors = torch.cuda.max_memory_allocated() if cuda else None
    return {"steps": a.steps, "ms_a_step": statistics.median(times), "ms_of_steps": times,
            "loss": float(loss), "peak_bytes": tensors and world.largest(tensors),
            "process_bytes": world.largest(taken), "all_process_bytes": world.sum(taken),
            "all_peak_bytes": tensors and world.sum(tensors)}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("peer", choices=PEERS)
    for name, value in (("classes", 100_000), ("features", 512), ("batch", 64), ("steps", 5),
                        ("warm-up", 2), ("seed", 1), ("threads", None), ("port", 29411)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--precision", choices=TORCH, default="f32")
    parser.add_argument("--bf16-weights", action="store_true", help="bf16 weights and momentum")
    gpu = torch.cuda.is_available()
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if gpu else "cpu")
    parser.add_argument("--check", metavar="FILE", help="file of colonnade bench head --check")
    return parser.parse_args()


def main():
    a = arguments()
    if a.threads:
        torch.set_num_threads(a.threads)
    world = World(a)
    figures = {"program": f"PyTorch {torch.__version__}", "peer": a.peer, "device": a.device,
               "ranks": world.size, "precision": a.precision, "bf16_weights": a.bf16_weights,
               "threads": torch.get_num_threads()}
    figures.update(check(a, world) if a.check else measure(a, world))
    if world.rank == 0:
        print(json.dumps(figures), flush=True)
    dist.barrier()
    os._exit(0)  # on a normal exit, gloo's threads may abort the process


if __name__ == "__main__":
    main()
