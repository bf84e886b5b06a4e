#!/usr/bin/env python3
"""Predicts the times of heads and trunks on one GPU by a model: nothing is measured.

    python3 bench/gpu_model.py              the tables of docs/performance.md, in Markdown
    python3 bench/gpu_model.py --kernels    the kernels of one chunk of the head, after each step

Times of kernels are computed from the peaks of an H200 and from the size of a product's tiles, for
three sets of assumptions: central, best and worst. Ratios within one set are better than absolute
times. docs/head.md describes the kernels of a chunk; a step of the ladder is a change of these.
"""
import argparse
import dataclasses
import math

# Peaks of one H200 (SXM, 141 GB), measured with products of 8,192 x 8,192, with copies in memory,
# and with copies of buffers that stay in the L2.
SMS = 132
PEAK = 790e12  # FLOP/s, bf16 with f32 sums
HBM = 4.3e12  # bytes/s, reads plus writes
L2_READ, L2_WRITE = 5.5e12, 4.5e12  # bytes/s
L2_BYTES = 60 << 20  # size from the data sheet
SM_WRITE = 109e9  # bytes/s that one SM writes to the L2
MEMORY = 130e9  # bytes for tensors, of 141 GB
D = 512  # features of the head
CLASSES, BATCHES = (10**5, 10**6, 10**7), (256, 1024, 4096)
IMAGES = 256  # batch of the trunks


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """What the peaks leave open. Times in microseconds."""
    launch: float  # from kernel to kernel in a graph
    fill: float  # until the first tile of a product computes
    latency: float  # of a kernel that moves data
    hbm: float  # share of the memory's peak that a kernel reaches
    l2: float  # factor on the rates of the L2
    tiles: dict  # share of the peak that a product reaches in its inner loop, by shape of its tiles
    convolution: float  # factor on the rates of convolutions
    beside: float  # share of the shorter of two kernels on two streams that is not hidden


CENTRAL = Assumptions(2.0, 1.0, 1.5, 0.88, 1.0, {(128, 256): 0.95, (256, 128): 0.95,
                                                 (128, 128): 0.80, (64, 256): 0.78}, 1.0, 0.35)
BEST = Assumptions(1.3, 0.7, 1.0, 0.95, 1.15, {(128, 256): 1.0, (256, 128): 1.0,
                                               (128, 128): 0.88, (64, 256): 0.85}, 1.08, 0.2)
WORST = Assumptions(3.0, 1.5, 2.5, 0.80, 0.8, {(128, 256): 0.88, (256, 128): 0.88,
                                               (128, 128): 0.72, (64, 256): 0.70}, 0.9, 0.6)


def in_l2(distance):
    """Returns the share of bytes that the L2 still holds after `distance` other bytes."""
    low, high = 28e6, 75e6
    return min(1.0, max(0.0, (high - distance) / (high - low)))


def moves(p, l2, hbm):
    """Time of a kernel that moves `l2` bytes, `hbm` of them from or to memory."""
    return p.launch + p.latency + 1e6 * max(l2 / (L2_READ * p.l2), hbm / (HBM * p.hbm))


def product(p, m, n, k, out=4, hbm=0, splits=(1, 2, 4, 8, 16), adds=False):
    """Time of an (m, n) product over k: the best of the library's tiles and splits of k.

    `out`: bytes of a result. `hbm`: bytes from or to memory. `adds`: the result is added to."""
    def time(tile, rate, split):
        length = math.ceil(k / split / 64) * 64  # of k in a part
        blocks = split * math.ceil(m / tile[0]) * math.ceil(n / tile[1])
        waves = math.ceil(blocks / SMS)
        loop = 1e6 * 2 * tile[0] * tile[1] * length / (PEAK / SMS * rate)
        width = 4 if split > 1 else out
        store = 1e6 * tile[0] * tile[1] * width / min(SM_WRITE, L2_WRITE * p.l2 / min(blocks, SMS))
        # Kernels are persistent: of several waves' stores, about half is hidden.
        total = p.launch + p.fill + waves * loop + store * (1 + 0.5 * (waves - 1))
        if split > 1:  # the parts are summed by a kernel of its own
            total += moves(p, m * n * (4 * split + out * (2 if adds else 1)), 0)
        return max(total, p.launch + 1e6 * hbm / (HBM * p.hbm))

    return min(time(tile, rate, split) for tile, rate in p.tiles.items() for split in splits
               if split == 1 or (4 * split * m * n <= 32 << 20 and k / split >= 128))


def wide_product(p, m, n, k, hbm_per_class, classes, **options):
    """A product with all classes in one of its dimensions: linear beyond a million of them."""
    part = min(classes, 10**6)
    sizes = [part if size == classes else size for size in (m, n, k)]
    return classes / part * product(p, *sizes, hbm=hbm_per_class * part, **options)


# ---- the head

@dataclasses.dataclass
class Head:
    """Kernels of a head step, by (name, microseconds)."""
    chunks: int
    of_a_chunk: list
    once: list

    def ms(self):
        return 1e-3 * (self.chunks * sum(t for _, t in self.of_a_chunk)
                       + sum(t for _, t in self.once))


TAIL = ("gather, merge, mean, scatter", 30.0)


def even_chunk(classes, most):
    return math.ceil(classes / math.ceil(classes / most))


def stores_by_share(classes, batch):
    """The rule before step 4: exponentials of at most a quarter of the f32 state, or 100 MiB."""
    return 2 * batch * classes <= max(100 << 20, classes * D * 8 // 4)


def stores_by_room(classes, batch):
    """The rule from step 4 on: half of the memory that state and bf16 copy leave."""
    return 2 * batch * classes <= (MEMORY - classes * D * 10) / 2


def eager_kernels(p, batch, n, store, copied, splits=(1, 2, 4, 8, 16)):
    """Kernels of a chunk up to step 3. `copied`: a bf16 copy of the weights is kept, and tiles'
    statistics are merged once a step."""
    z, g, w, dw = 4 * batch * n, 2 * batch * n, 2 * n * D, 4 * n * D
    out = 1 - in_l2(z)  # share of the logits that leaves the L2 before they are read

    def gemm(m, columns, k, **options):
        return product(p, m, columns, k, splits=splits, **options)

    convert = [] if copied else [("round W", moves(p, w + dw, dw))]
    merge = [] if copied else [("merge tiles", moves(p, 0, 0) + 1.5)]
    logits = ("Z = X W'", gemm(batch, n, D, hbm=out * z + (w if copied else 0)))
    first = [*convert, logits]
    if store:
        first += [("tile maxima", moves(p, z, out * z)), *merge,
                  ("exponentials", moves(p, z + g, out * z + g)), ("rescale", moves(p, 0, 0) + 0.5)]
        second = [*convert, ("G in place", moves(p, 2 * g, g + (1 - in_l2(g)) * g))]
    else:
        first += [("tile statistics", moves(p, z, out * z)), *merge]
        second = [*convert, logits, ("G", moves(p, z + g, out * z + (1 - in_l2(g)) * g))]
    far = 2 * g + w + 17e6  # between G and its second use
    second += [("dX += G W", gemm(batch, D, n, hbm=(1 - in_l2(g + w)) * g, adds=True)),
               ("dW = G'X", gemm(n, D, batch, hbm=(1 - in_l2(far)) * g + (1 - in_l2(dw)) * dw))]
    rows = dw if copied else (1 - in_l2(2 * z + far)) * dw  # else read by the rounding before
    written = (1 - in_l2(dw)) * dw + 3 * dw + (w if copied else 0)
    second.append(("update", moves(p, 5 * dw + (w if copied else 0), written + rows)))
    return first + second


def one_e_kernels(p, batch, n):
    """Kernels of a chunk of step 4: E by one kernel, rescaled in place before its products."""
    z, e, w, dw = 4 * batch * n, 2 * batch * n, 2 * n * D, 4 * n * D
    out = 1 - in_l2(z)
    return [("Z = X W'", product(p, batch, n, D, hbm=w + out * z)),
            ("E, statistics", moves(p, z + e, out * z + e)),
            ("G in place", moves(p, 2 * e, e + (1 - in_l2(e)) * e)),
            ("dX += G W", product(p, batch, D, n, adds=True)),
            ("dW = E'X", product(p, n, D, batch, hbm=e + (1 - in_l2(dw)) * dw)),
            ("update", moves(p, 5 * dw + w, (1 - in_l2(dw)) * dw + 4 * dw + w))]


def now(p, classes, batch, splits=(1, 2, 4, 8, 16)):
    n = min(classes, max(256, L2_BYTES // 2 // (6 * (batch + D)) // 64 * 64))
    store = stores_by_share(classes, batch)
    return Head(math.ceil(classes / n), eager_kernels(p, batch, n, store, False, splits), [TAIL])


def large_chunks(p, classes, batch, splits=(1, 2, 4, 8, 16)):
    n = even_chunk(classes, 32768)
    store = stores_by_share(classes, batch)
    return Head(math.ceil(classes / n), eager_kernels(p, batch, n, store, False, splits), [TAIL])


def bf16_copy(p, classes, batch):
    n = even_chunk(classes, 32768)
    kernels = eager_kernels(p, batch, n, stores_by_share(classes, batch), True)
    return Head(math.ceil(classes / n), kernels, [TAIL])


def stored_e(p, classes, batch):
    n = even_chunk(classes, 32768)
    if not stores_by_room(classes, batch):
        return Head(math.ceil(classes / n), eager_kernels(p, batch, n, False, True), [TAIL])
    return Head(math.ceil(classes / n), one_e_kernels(p, batch, n), [TAIL])


def folded(p, classes, batch):
    if not stores_by_room(classes, batch):
        return stored_e(p, classes, batch)
    n = even_chunk(classes, 32768)
    kept = [k for k in one_e_kernels(p, batch, n) if k[0] not in ("G in place", "dX += G W")]
    dx = wide_product(p, batch, D, classes, 2 * batch + 2 * D, classes)
    return Head(math.ceil(classes / n), kept, [("dX = s (E W)", dx), TAIL])


def two_streams(p, classes, batch):
    """Kernels that move data run beside products, on SMs of their own."""
    head = folded(p, classes, batch)
    times = dict(head.of_a_chunk)
    pairs = [("Z = X W'", "E, statistics"), ("Z = X W'", "tile statistics"), ("dW = E'X", "update"),
             ("dW = G'X", "update")]
    for a, b in pairs:
        if a in times and b in times:
            x, y = times.pop(a), times.pop(b)
            times[f"{a} beside {b}"] = max(x, y) + p.beside * min(x, y)
    return Head(head.chunks, list(times.items()), head.once)


def without_splits(p, classes, batch):
    """dX has few tiles: its product is slow unless the library splits k."""
    return large_chunks(p, classes, batch, splits=(1,))


LADDER = [("before", now), ("1 chunks of 32,768", large_chunks),
          ("1, if the library does not split k", without_splits),
          ("2 products timed", large_chunks),
          ("3 bf16 copy, one merge", bf16_copy), ("4 E by one kernel, stored", stored_e),
          ("5 normalizer folded", folded), ("6 second stream", two_streams)]


# ---- PyTorch's heads: products of the whole shard, and bytes by which kernels touch each logit and
# each weight, if every kernel reads each of its operands once

@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    logit_bytes: tuple  # bytes of the kernels between the products
    weight_bytes: tuple
    logit_memory: int
    weight_memory: int


UPDATE = (20,)  # fused SGD with momentum: reads w, v, gradient; writes w, v
PEERS = [
    # f32 copy; log_softmax; gradient of nll_loss; of log_softmax; bf16 copy. W to bf16, dW to f32.
    Peer("PyTorch eager", (6, 8, 4, 12, 6), (6, 6, *UPDATE), 12, 16),
    # softmax forward in two reductions; backward in one kernel
    Peer("torch.compile", (2, 2, 4), (6, 6, *UPDATE), 4, 16),
    # f32 copy; max; subtract; exp; sum; divide; scale of the gradient; bf16 copy
    Peer("partial_fc by hand", (6, 4, 8, 8, 4, 8, 8, 6), (6, 6, *UPDATE), 6, 16)]


def peer_ms(p, peer, classes, batch):
    """Milliseconds of a step; None if it does not fit."""
    logits, weights = batch * classes, classes * D
    if peer.logit_memory * logits + peer.weight_memory * weights > MEMORY:
        return None
    time = wide_product(p, batch, classes, D, 2 * (batch + D), classes, out=2)
    time += wide_product(p, batch, D, classes, 2 * (batch + D), classes, out=2)
    time += wide_product(p, classes, D, batch, 2 * (batch + 2 * D), classes, out=2)
    for count, kernels in ((logits, peer.logit_bytes), (weights, peer.weight_bytes)):
        time += sum(moves(p, width * count, width * count) for width in kernels)
    return 1e-3 * (time + TAIL[1])


# ---- trunks

@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution with its batch norm. Sizes of square images."""
    inputs: int
    outputs: int
    kernel: int
    stride: int
    size: int
    activation: str = ""  # "relu", "prelu"
    residual: bool = False  # the last of a block
    first: bool = False

    def x(self):  # bytes in bf16
        return 2 * IMAGES * self.inputs * self.size**2

    def y(self):
        return 2 * IMAGES * self.outputs * (-(-self.size // self.stride))**2


@dataclasses.dataclass(frozen=True)
class Norm:
    """A batch norm before a block."""
    channels: int
    size: int

    def y(self):
        return 2 * IMAGES * self.channels * self.size**2


@dataclasses.dataclass(frozen=True)
class BlockInput:
    """The input of a residual block, whose gradient is a sum of two."""
    channels: int
    size: int

    def y(self):
        return 2 * IMAGES * self.channels * self.size**2


def resnet50():
    layers = [Conv(3, 64, 7, 2, 224, "relu", first=True)]
    size, inputs = 56, 64
    for width, count, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(count):
            stride = first_stride if block == 0 else 1
            layers += [BlockInput(inputs, size), Conv(inputs, width, 1, 1, size, "relu"),
                       Conv(width, width, 3, stride, size, "relu")]
            if block == 0:
                layers.append(Conv(inputs, 4 * width, 1, stride, size))
            size //= stride
            layers.append(Conv(width, 4 * width, 1, 1, size, "relu", residual=True))
            inputs = 4 * width
    return layers


def iresnet50():
    layers = [Conv(3, 64, 3, 1, 112, "prelu", first=True)]
    size, inputs = 112, 64
    for width, count in ((64, 3), (128, 4), (256, 14), (512, 3)):
        for block in range(count):
            stride = 2 if block == 0 else 1
            layers += [BlockInput(inputs, size), Norm(inputs, size),
                       Conv(inputs, width, 3, 1, size, "prelu")]
            if block == 0:
                layers.append(Conv(inputs, width, 1, stride, size))
            layers.append(Conv(width, width, 3, stride, size, residual=True))
            size //= stride
            inputs = width
    return layers


def convolution_us(p, conv):
    """Forward and the two products of backward: bound by arithmetic or by memory."""
    pixels = (-(-conv.size // conv.stride))**2
    flops = 2 * IMAGES * pixels * conv.outputs * conv.inputs * conv.kernel**2
    x = conv.x() if conv.kernel > 1 else 2 * IMAGES * conv.inputs * pixels
    rates = [(600e12, x), (500e12, x)] + ([] if conv.first else [(550e12, conv.x())])
    return sum(1e6 * max(flops / (rate * p.convolution), (read + conv.y()) / (HBM * p.hbm))
               for rate, read in rates)


class Passes:
    """Bytes and kernels of everything but convolutions. `points`: changes in effect, 1 to 5."""

    def __init__(self, layers, points, compiled=False):
        self.bytes, self.kernels = 0.0, 0
        self.points, self.compiled = points, compiled
        self.iresnet = any(isinstance(layer, Norm) for layer in layers)
        for layer in layers:
            (self.block_input if isinstance(layer, BlockInput) else self.norm)(layer)
            if isinstance(layer, Conv):
                self.kernels += 3 - layer.first + 2  # products; reductions of the weights' gradient
                self.convert_weights(layer)
        if not self.iresnet:
            self.max_pool()
        self.inputs()
        if 5 in points or compiled:
            self.kernels += 3
        else:
            self.kernels += 3 * sum(isinstance(layer, (Conv, Norm)) for layer in layers)

    def add(self, size, kernels=1):
        self.bytes += size
        self.kernels += kernels

    def norm(self, layer):
        n = layer.y()
        activation = getattr(layer, "activation", "")
        residual = getattr(layer, "residual", False)
        moments_elsewhere = isinstance(layer, Norm) and 5 in self.points
        self.add(0 if moments_elsewhere else n, 2)
        self.add((2 + residual) * n)
        # Backward reads x and dy twice, and what ReLU needs of y.
        mask = n if activation == "relu" else 0
        if 3 in self.points:
            mask = n / 16 if activation == "relu" and residual else 0
            self.add(mask, 0)
        self.add(2 * n + mask, 2)
        self.add(3 * n + mask + (n if residual and activation == "relu" else 0))
        if activation == "prelu" and not (1 in self.points or self.compiled):
            self.add(2 * n)
            self.add(3 * n, 2)

    def block_input(self, layer):
        n = layer.y()
        if self.compiled:
            self.add(2 * n, 0)  # the first kernel that reads both gradients writes their sum
        elif 2 in self.points:
            self.add(n, 0)  # read by the kernel that writes the other gradient
        else:
            self.add(3 * n)
            if self.iresnet:
                self.add(2 * n)  # copy of a gradient that both paths share

    def convert_weights(self, conv):
        weights = conv.inputs * conv.outputs * conv.kernel**2
        self.bytes += weights * (22 + (0 if 5 in self.points else 8))  # update; copies into buckets

    def max_pool(self):
        n = 2 * IMAGES * 64 * 112**2
        place = n / 4 * (0.5 if 5 in self.points or self.compiled else 2)
        self.add(n + n / 4 + place)
        self.add(n / 4 + place + n)

    def inputs(self):
        """Images on the device, converted to bf16."""
        values = IMAGES * 3 * (112 if self.iresnet else 224)**2
        self.add(values * (1 + 8 / 3 if 4 in self.points else 6))

    def us(self, p):
        return 1e6 * self.bytes / (HBM * p.hbm) + self.kernels * p.launch


TRUNKS = [("resnet50, 224 px", resnet50()), ("iresnet50, 112 px", iresnet50())]
POINTS = ["before", "1 PReLU inside batch norm", "2 gradients of blocks added in place",
          "3 ReLU's mask not from y", "4 images as u8", "5 one update kernel, fewer passes"]


def trunk_ms(p, layers, points, compiled=False):
    time = sum(convolution_us(p, layer) for layer in layers if isinstance(layer, Conv))
    return 1e-3 * (time + Passes(layers, points, compiled).us(p))


# ---- tables

def three(times):
    """Formats (central, best, worst): "10.1 (9.2-11.5)"."""
    if times[0] is None:
        return "does not fit"
    texts = [f"{t:.0f}" if t >= 100 else f"{t:.1f}" if t >= 3 else f"{t:.2f}" for t in times]
    return f"{texts[0]} ({texts[1]}-{texts[2]})"


def row(name, cells):
    print(f"| {name} | " + " | ".join(cells) + " |")


def head_tables():
    for batch in BATCHES:
        row(f"B = {batch}, ms per step", [f"C = {c:.0e}".replace("e+0", "e") for c in CLASSES])
        print("|---" * (1 + len(CLASSES)) + "|")
        for name, step in LADDER:
            row(name, [three([step(p, c, batch).ms() for p in (CENTRAL, BEST, WORST)])
                       for c in CLASSES])
        for peer in PEERS:
            row(peer.name, [three([peer_ms(p, peer, c, batch) for p in (CENTRAL, BEST, WORST)])
                            for c in CLASSES])
        print()


def trunk_table():
    row("ms per step of 256 images", [name for name, _ in TRUNKS])
    print("|---" * (1 + len(TRUNKS)) + "|")
    for i, name in enumerate(POINTS):
        row(name, [three([trunk_ms(p, layers, range(1, i + 1)) for p in (CENTRAL, BEST, WORST)])
                   for _, layers in TRUNKS])
    row("torch.compile", [three([trunk_ms(p, layers, (), True) for p in (CENTRAL, BEST, WORST)])
                          for _, layers in TRUNKS])


def kernels(classes, batch):
    for name, step in LADDER:
        head = step(CENTRAL, classes, batch)
        print(f"{name}: {head.chunks} chunks, {head.ms():.2f} ms")
        for kernel, us in [*head.of_a_chunk, *head.once]:
            print(f"    {kernel:40}{us:10.1f} us")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kernels", action="store_true")
    parser.add_argument("--classes", type=int, default=10**6, help="of --kernels")
    parser.add_argument("--batch", type=int, default=1024, help="of --kernels")
    a = parser.parse_args()
    if a.kernels:
        kernels(a.classes, a.batch)
    else:
        head_tables()
        trunk_table()


if __name__ == "__main__":
    main()
