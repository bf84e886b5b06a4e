"""Times of trunks by the model of gpu_kernels.py, with and without each change of the ladder."""
import dataclasses

from gpu_kernels import HBM, IMAGES


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
