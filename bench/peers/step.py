"""Speed of training steps in PyTorch: the peer of bench/step.cpp, whose JSON has the names of
these arguments.

    python3 bench/peers/step.py --trunk resnet50 --height 224 --width 224 --classes 1000 --batch 256

Uses the same network, batch, precision and SGD, with the usual optimizations of PyTorch: NHWC
memory, autocast to bf16 with f32 weights, torch.compile, a fused optimizer, cuDNN's fastest
algorithms, pinned memory, and copying the next batch during a step. One process and one device; the
classifier is a plain linear layer. The last line of the output is the figures as JSON.

Exits with 3 if PyTorch is not installed.
"""
import argparse
import json
import resource
import sys
import time

try:
    import torch
except ImportError as missing:
    print(f"PyTorch is not installed for {sys.executable} ({missing})", file=sys.stderr)
    sys.exit(3)
from torch import nn

RESNETS = {"resnet18": (1, [2, 2, 2, 2]), "resnet34": (1, [3, 4, 6, 3]),
           "resnet50": (4, [3, 4, 6, 3])}
IRESNETS = {"iresnet18": [2, 2, 2, 2], "iresnet34": [3, 4, 6, 3], "iresnet50": [3, 4, 14, 3],
            "iresnet100": [3, 13, 30, 3]}


def conv(inputs, outputs, size, stride=1):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


def shortcut(inputs, outputs, stride):
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """A residual block of torchvision's ResNet: basic (expansion 1) or bottleneck (4)."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        width = outputs // expansion
        sizes = [(inputs, outputs, 3, stride), (outputs, outputs, 3, 1)]
        if expansion > 1:
            sizes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        path = []
        for size in sizes:
            path += [conv(*size), nn.BatchNorm2d(size[1]), nn.ReLU(inplace=True)]
        self.path = nn.Sequential(*path[:-1])
        self.shortcut = shortcut(inputs, outputs, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.path(x)
        y += self.shortcut(x)
        return self.relu(y)


class IBlock(nn.Module):
    """A block of insightface's IResNet."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.path = nn.Sequential(
            nn.BatchNorm2d(inputs), conv(inputs, outputs, 3), nn.BatchNorm2d(outputs),
            nn.PReLU(outputs), conv(outputs, outputs, 3, stride), nn.BatchNorm2d(outputs))
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x):
        y = self.path(x)
        y += self.shortcut(x)
        return y


def stages(block, depths, inputs, widths, first_stride):
    """Returns the blocks of all stages; the first block of a stage halves the image."""
    blocks = []
    for stage, (depth, width) in enumerate(zip(depths, widths)):
        for i in range(depth):
            stride = 2 if i == 0 else 1
            blocks.append(block(inputs, width, first_stride if stage == i == 0 else stride))
            inputs = width
    return blocks


def resnet(name, channels):
    """Returns the trunk and its number of features; torchvision's trunk for 3 channels."""
    expansion, depths = RESNETS[name]
    features = 512 * expansion
    try:
        import torchvision
        if channels == 3:
            trunk = getattr(torchvision.models, name)()
            trunk.fc = nn.Identity()
            return trunk, features
    except ImportError:
        pass
    widths = [64 * 2**i * expansion for i in range(4)]
    blocks = stages(lambda *sizes: Block(*sizes, expansion), depths, 64, widths, first_stride=1)
    stem = [conv(channels, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), features


def iresnet(name, channels, height, width, features):
    features = features or 512
    blocks = stages(IBlock, IRESNETS[name], 64, [64, 128, 256, 512], first_stride=2)
    pixels = -(-height // 16) * -(-width // 16)
    stem = [conv(channels, 64, 3), nn.BatchNorm2d(64), nn.PReLU(64)]
    end = [nn.BatchNorm2d(512), nn.Flatten(), nn.Linear(512 * pixels, features),
           nn.BatchNorm1d(features)]
    end[-1].weight.requires_grad_(False)  # the weight stays 1
    trunk = nn.Sequential(*stem, *blocks, *end)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0, 0.1)
    return trunk, features


def small(a):
    """Colonnade's own trunk: three stages of basic blocks, a linear layer, a norm."""
    width, features = a.model_width, a.features or 128
    widths = [2 * width, 4 * width, 8 * width]
    blocks = stages(lambda *sizes: Block(*sizes, 1), [a.model_depth] * 3, width, widths,
                    first_stride=2)
    pixels = 1
    for side in (a.height, a.width):
        pixels *= -(-side // (8 * a.model_stride))
    stem = [conv(a.channels, width, a.model_kernel, a.model_stride), nn.BatchNorm2d(width),
            nn.ReLU(inplace=True)]
    end = [nn.Flatten(), nn.Linear(widths[-1] * pixels, features, bias=False),
           nn.BatchNorm1d(features)]
    return nn.Sequential(*stem, *blocks, *end), features


def network(a):
    """Returns trunk and classifier, initialized as in Colonnade: normal with std 0.01."""
    if a.trunk == "small":
        trunk, features = small(a)
    elif a.trunk in RESNETS:
        trunk, features = resnet(a.trunk, a.channels)
    else:
        trunk, features = iresnet(a.trunk, a.channels, a.height, a.width, a.features)
    head = nn.Linear(features, a.classes, bias=a.bias)
    nn.init.normal_(head.weight, 0, 0.01)
    model = nn.Sequential(trunk, head).to(a.device, memory_format=torch.channels_last)
    return model.train()


def optimizer(model, a):
    """Returns SGD and its implementation. Norms, slopes and biases have no weight decay."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [{"params": [p for _, p in trained if p.dim() > 1], "weight_decay": a.weight_decay},
              {"params": [p for _, p in trained if p.dim() == 1], "weight_decay": 0}]
    for how in ({"fused": True}, {"foreach": True}):
        try:
            return torch.optim.SGD(groups, lr=a.lr, momentum=a.momentum, **how), list(how)[0]
        except (TypeError, RuntimeError):  # not supported by this PyTorch or device
            continue
    return torch.optim.SGD(groups, lr=a.lr, momentum=a.momentum), "plain"


class Feed:
    """Copies batches from host to device; the copy of a batch overlaps with the previous step."""

    def __init__(self, a):
        torch.manual_seed(1)
        images = torch.rand(a.global_batch_size, a.channels, a.height, a.width)
        self.host = [images.contiguous(memory_format=torch.channels_last),
                     torch.randint(a.classes, (a.global_batch_size,))]
        self.stream = None
        if a.device == "cuda":
            self.host = [t.pin_memory() for t in self.host]
            self.stream = torch.cuda.Stream()
            self._copy()

    def _copy(self):
        with torch.cuda.stream(self.stream):
            self.ready = [t.to("cuda", non_blocking=True) for t in self.host]

    def next(self):
        if self.stream is None:
            return self.host
        now = torch.cuda.current_stream()
        now.wait_stream(self.stream)
        batch = self.ready
        for tensor in batch:
            tensor.record_stream(now)
        self._copy()
        return batch


class Training:
    """Trains a network; `loss_of` may be compiled."""

    def __init__(self, a):
        self.a = a
        self.model = network(a)
        self.optimizer, self.how = optimizer(self.model, a)
        self.feed = Feed(a)
        self.loss_of = self.eager
        self.compiled = "no: not requested"

    def eager(self, images, labels):
        narrow = self.a.precision == "bf16"
        with torch.autocast(self.a.device, dtype=torch.bfloat16, enabled=narrow):
            logits = self.model(images)
        return nn.functional.cross_entropy(logits.float(), labels)

    def compile(self, mode):
        """Compiles the loss and takes a step; falls back to eager mode if that fails."""
        try:
            self.loss_of = torch.compile(self.eager, mode=mode)
            self.step()
            self.compiled = mode
        except Exception as failure:  # the compiler may raise anything
            self.loss_of = self.eager
            self.compiled = f"no: {type(failure).__name__}: {str(failure).strip()[:200]}"

    def step(self):
        loss = self.loss_of(*self.feed.next())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, steps):
        """Returns the seconds for `steps` steps, and the loss of the last one."""
        loss = None
        self.wait()
        start = time.perf_counter()
        for _ in range(steps):
            loss = self.step()
        self.wait()
        return time.perf_counter() - start, loss

    def wait(self):
        if self.a.device == "cuda":
            torch.cuda.synchronize()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--trunk", choices=["small", *RESNETS, *IRESNETS], required=True)
    for name, value in (("height", 224), ("width", 224), ("channels", 3), ("classes", 1000),
                        ("global_batch_size", 256), ("features", None), ("model_width", 32),
                        ("model_depth", 1),
                        ("model_kernel", 3), ("model_stride", 1), ("steps", 30), ("warm-up", 5),
                        ("threads", None)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in (("lr", 0.1), ("momentum", 0.9), ("weight_decay", 5e-4)):
        parser.add_argument(f"--{name}", type=float, default=value)
    gpu = torch.cuda.is_available()
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if gpu else "cpu")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="bf16")
    parser.add_argument("--bias", action="store_true", help="give the classifier a bias")
    parser.add_argument("--tf32", action="store_true", help="allow TF32 in f32 products")
    parser.add_argument("--compile", default="default", metavar="MODE",
                        help="torch.compile's mode, or off")
    a = parser.parse_args()
    if a.device == "cuda" and not gpu:
        parser.error("--device cuda: this PyTorch finds no GPU")
    return a


def describe(a, training):
    name = torch.cuda.get_device_name() if a.device == "cuda" else \
        f"CPU, {torch.get_num_threads()} threads"
    return {"program": f"PyTorch {torch.__version__}", "device": a.device, "device_name": name,
            "precision": a.precision, "trunk": a.trunk, "height": a.height, "width": a.width,
            "classes": a.classes, "global_batch_size": a.global_batch_size,
            "compiled": training.compiled,
            "optimizer": training.how}


def main():
    a = arguments()
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = a.tf32
    training = Training(a)
    if a.compile != "off":
        training.compile(a.compile)
    training.run(a.warm_up)
    if a.device == "cuda":
        torch.cuda.reset_peak_memory_stats()  # exclude the memory of the algorithm search
    seconds, loss = training.run(a.steps)
    figures = describe(a, training)
    figures.update(
        steps=a.steps, ms_a_step=1e3 * seconds / a.steps,
        images_a_second=a.global_batch_size * a.steps / seconds,
        peak_bytes=torch.cuda.max_memory_allocated() if a.device == "cuda" else None,
        process_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        loss=float(loss))
    print(f"{figures['device_name']}, {a.trunk}, {a.height} x {a.width}, {a.classes} classes, "
          f"{a.precision}, batch {a.global_batch_size}; {figures['program']}")
    print(f"compiled: {training.compiled}; SGD: {training.how}")
    print(f"{figures['ms_a_step']:.2f} ms per step, {figures['images_a_second']:.1f} images/s over "
          f"{a.steps} steps, final loss {figures['loss']:.4f}")
    tensors = f"{1e-6 * figures['peak_bytes']:.1f} MB of tensors, " if figures["peak_bytes"] else ""
    print(f"peak memory: {tensors}{1e-6 * figures['process_bytes']:.1f} MB of the process\n")
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
