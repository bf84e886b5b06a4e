"""IResNet in PyTorch, as in insightface's arcface_torch/backbones/iresnet.py, for any image size.
At 112 x 112, `fc` has the same number of inputs."""
from torch import nn


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                            nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.conv1(self.bn1(x))
        y = self.bn3(self.conv2(self.prelu(self.bn2(y))))
        return y + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    def __init__(self, stages, height, width, features=512):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        inputs = 64
        for number, depth in enumerate(stages, 1):
            outputs = 32 << number
            blocks = [Block(inputs if j == 0 else outputs, outputs, 2 if j == 0 else 1)
                      for j in range(depth)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            inputs = outputs
        self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * -(-height // 16) * -(-width // 16), features)
        self.features = nn.BatchNorm1d(features)
        self.features.weight.requires_grad = False
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.1)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.features(self.fc(self.bn2(x).flatten(1)))


class Classifier(nn.Module):
    """A trunk and a classifier with a single tensor named `weight`, as in PartialFC's files."""

    def __init__(self, trunk, classes, features=512):
        super().__init__()
        self.trunk = trunk
        self.weight = nn.Parameter(0.05 * nn.init.normal_(nn.Linear(features, classes).weight))

    def forward(self, x):
        return nn.functional.linear(self.trunk(x), self.weight)
