"""Times of heads by the model of gpu_kernels.py: after each step of the ladder, and PyTorch's."""
import dataclasses
import math

from gpu_kernels import L2_BYTES, MEMORY, D, in_l2, moves, product, wide_product


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
