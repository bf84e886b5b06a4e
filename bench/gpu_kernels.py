"""Times of single kernels on one GPU by a model: nothing is measured. See gpu_model.py."""
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
