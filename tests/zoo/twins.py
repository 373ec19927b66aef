"""The networks of specs/ in PyTorch's own layers, by hand, as their papers and torchvision define them.

Parameters are defined in the order in which the layers of the spec stand, so that they correspond one to one.
Sizes that the tests shrink are arguments; their defaults are the published ones.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Kernel = int | tuple[int, ...]


class Joined(nn.Module):
    """Branches beside each other, their channels one behind the other."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Residual(nn.Module):
    """A function of the input plus the input, or plus a projection of it."""

    def __init__(self, function: nn.Module, around: nn.Module | None = None) -> None:
        super().__init__()
        self.function, self.around = function, around or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x) + self.around(x)


def conv_norm(
    before: int,
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: Callable[[], nn.Module] | None = nn.ReLU,
    epsilon: float = 1e-5,
) -> nn.Sequential:
    """Convolution that keeps the size at stride 1, without a bias, and batch norm."""
    conv = nn.Conv2d(before, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(channels, eps=epsilon)
    return nn.Sequential(conv, norm, *([activation()] if activation else []))


def pooled_classifier(channels: int, classes: int, drop: float | None = None) -> list[nn.Module]:
    """The mean of each map, then one dense layer."""
    dropout = [nn.Dropout(drop)] if drop is not None else []
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *dropout, nn.Linear(channels, classes), nn.Softmax(1)]


# --- digits ---------------------------------------------------------------------------------------------


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10), nn.Softmax(1),
    )  # fmt: skip


def lenet_caffe() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10), nn.Softmax(1),
    )  # fmt: skip


def mlp(pixels: int = 256 * 256, hidden: int = 128) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, 2), nn.Softmax(1)
    )


def shared(kernels: int = 128) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, kernels, 3, bias=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(kernels, 2), nn.Softmax(1),
    )  # fmt: skip


# --- plain convolutional networks -----------------------------------------------------------------------


def alexnet(flat: int = 256 * 6 * 6, hidden: int = 4096) -> nn.Module:
    """torchvision.models.alexnet; at 224x224 its adaptive pooling to 6x6 does nothing."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(flat, hidden), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, 1000), nn.Softmax(1),
    )  # fmt: skip


def vgg(stages: tuple[int, ...], flat: int = 512 * 7 * 7, hidden: int = 4096) -> nn.Module:
    layers: list[nn.Module] = []
    before = 3
    for channels, depth in zip((64, 128, 256, 512, 512), stages, strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        layers.append(nn.MaxPool2d(2))
    for width in (flat, hidden):
        layers += [nn.Flatten(), nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(hidden, 1000), nn.Softmax(1))


def vgg11(flat: int = 512 * 7 * 7, hidden: int = 4096) -> nn.Module:
    return vgg((1, 1, 2, 2, 2), flat, hidden)


def vgg16(flat: int = 512 * 7 * 7, hidden: int = 4096) -> nn.Module:
    return vgg((2, 2, 3, 3, 3), flat, hidden)


def nin() -> nn.Module:
    """Dive into Deep Learning, section 8.3."""

    def block(before: int, channels: int, kernel: int, stride: int = 1, padding: int = 0) -> list[nn.Module]:
        first = nn.Conv2d(before, channels, kernel, stride, padding)
        ones = [nn.Conv2d(channels, channels, 1) for _ in range(2)]
        return [first, nn.ReLU(), ones[0], nn.ReLU(), ones[1], nn.ReLU()]

    return nn.Sequential(
        *block(1, 96, 11, stride=4), nn.MaxPool2d(3, 2),
        *block(96, 256, 5, padding=2), nn.MaxPool2d(3, 2),
        *block(256, 384, 3, padding=1), nn.MaxPool2d(3, 2), nn.Dropout(0.5),
        *block(384, 10, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1),
    )  # fmt: skip


def squeezenet1_1() -> nn.Module:
    def fire(before: int, squeezed: int, expanded: int) -> nn.Module:
        one = nn.Sequential(nn.Conv2d(squeezed, expanded, 1), nn.ReLU())
        three = nn.Sequential(nn.Conv2d(squeezed, expanded, 3, padding=1), nn.ReLU())
        return nn.Sequential(nn.Conv2d(before, squeezed, 1), nn.ReLU(), Joined(one, three))

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool(),
        fire(64, 16, 64), fire(128, 16, 64), pool(),
        fire(128, 32, 128), fire(256, 32, 128), pool(),
        fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256), fire(512, 64, 256),
        nn.Dropout(0.5), nn.Conv2d(512, 1000, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1),
    )  # fmt: skip


# --- with batch norm ------------------------------------------------------------------------------------


def googlenet() -> nn.Module:
    """torchvision.models.googlenet without its auxiliary heads."""

    def unit(before: int, channels: int, kernel: int = 1, stride: int = 1) -> nn.Module:
        return conv_norm(before, channels, kernel, stride, epsilon=1e-3)

    def inception(before: int, one: int, r3: int, three: int, r5: int, five: int, pooled: int) -> nn.Module:
        return Joined(
            unit(before, one),
            nn.Sequential(unit(before, r3), unit(r3, three, 3)),
            nn.Sequential(unit(before, r5), unit(r5, five, 3)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), unit(before, pooled)),
        )

    def pool(size: int) -> nn.Module:
        return nn.MaxPool2d(size, 2, ceil_mode=True)

    return nn.Sequential(
        unit(3, 64, 7, 2), pool(3), unit(64, 64), unit(64, 192, 3), pool(3),
        inception(192, 64, 96, 128, 16, 32, 32), inception(256, 128, 128, 192, 32, 96, 64), pool(3),
        inception(480, 192, 96, 208, 16, 48, 64), inception(512, 160, 112, 224, 24, 64, 64),
        inception(512, 128, 128, 256, 24, 64, 64), inception(512, 112, 144, 288, 32, 64, 64),
        inception(528, 256, 160, 320, 32, 128, 128), pool(2),
        inception(832, 256, 160, 320, 32, 128, 128), inception(832, 384, 192, 384, 48, 128, 128),
        *pooled_classifier(1024, 1000, drop=0.2),
    )  # fmt: skip


def basic(before: int, channels: int, stride: int = 1) -> nn.Module:
    function = nn.Sequential(
        conv_norm(before, channels, 3, stride), conv_norm(channels, channels, 3, activation=None)
    )
    return nn.Sequential(Residual(function, _projection(before, channels, stride)), nn.ReLU())


def bottleneck(before: int, channels: int, stride: int = 1) -> nn.Module:
    function = nn.Sequential(
        conv_norm(before, channels),
        conv_norm(channels, channels, 3, stride),
        conv_norm(channels, 4 * channels, activation=None),
    )
    return nn.Sequential(Residual(function, _projection(before, 4 * channels, stride)), nn.ReLU())


def _projection(before: int, channels: int, stride: int) -> nn.Module | None:
    if before == channels and stride == 1:
        return None
    return conv_norm(before, channels, stride=stride, activation=None)


def resnet(block: Callable[..., nn.Module], depths: tuple[int, ...], expansion: int) -> nn.Module:
    """torchvision.models.resnet: the stride of a bottleneck is at its 3x3 convolution."""
    layers: list[nn.Module] = [conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for stage, (channels, depth) in enumerate(zip((64, 128, 256, 512), depths, strict=True)):
        for number in range(depth):
            layers.append(block(before, channels, 2 if stage and not number else 1))
            before = expansion * channels
    return nn.Sequential(*layers, *pooled_classifier(before, 1000))


def resnet18() -> nn.Module:
    return resnet(basic, (2, 2, 2, 2), 1)


def resnet50() -> nn.Module:
    return resnet(bottleneck, (3, 4, 6, 3), 4)


def resnet20_cifar() -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, 16, 3)]
    before = 16
    for channels in (16, 32, 64):
        for _ in range(3):
            layers.append(basic(before, channels, channels // before))
            before = channels
    return nn.Sequential(*layers, *pooled_classifier(64, 10))


def densenet121(growth: int = 32) -> nn.Module:
    """torchvision.models.densenet121: norm and activation before each convolution."""

    def unit(before: int, channels: int, kernel: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(before, channels, kernel, padding=kernel // 2, bias=False)
        return [nn.BatchNorm2d(before), nn.ReLU(), conv]

    layers: list[nn.Module] = [conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, depth in enumerate((6, 12, 24, 16)):
        if stage:
            layers += [*unit(channels, channels // 2), nn.AvgPool2d(2)]
            channels //= 2
        for _ in range(depth):
            new = nn.Sequential(*unit(channels, 4 * growth), *unit(4 * growth, growth, 3))
            layers.append(Joined(nn.Identity(), new))
            channels += growth
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), *pooled_classifier(channels, 1000))


def mobilenet_v1() -> nn.Module:
    layers: list[nn.Module] = [conv_norm(3, 32, 3, 2)]
    before = 32
    row = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for channels, stride in row:
        layers += [conv_norm(before, before, 3, stride, groups=before), conv_norm(before, channels)]
        before = channels
    return nn.Sequential(*layers, *pooled_classifier(1024, 1000))


def mobilenet_v2() -> nn.Module:
    def inverted(before: int, channels: int, stride: int, factor: int) -> nn.Module:
        wide = factor * before
        function = nn.Sequential(
            *([conv_norm(before, wide, activation=nn.ReLU6)] if factor > 1 else []),
            conv_norm(wide, wide, 3, stride, groups=wide, activation=nn.ReLU6),
            conv_norm(wide, channels, activation=None),
        )
        return Residual(function) if stride == 1 and before == channels else function

    layers: list[nn.Module] = [conv_norm(3, 32, 3, 2, activation=nn.ReLU6)]
    before = 32
    table = [  # t, c, n, s
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
        (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ]  # fmt: skip
    for factor, channels, depth, stride in table:
        for number in range(depth):
            layers.append(inverted(before, channels, 1 if number else stride, factor))
            before = channels
    head = conv_norm(320, 1280, activation=nn.ReLU6)
    return nn.Sequential(*layers, head, *pooled_classifier(1280, 1000, drop=0.2))


# --- other kinds of input and output --------------------------------------------------------------------


class UNet(nn.Module):
    """Ronneberger, Fischer & Brox 2015, figure 1."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        widths = ((1, 64), (64, 128), (128, 256), (256, 512))
        self.down = nn.ModuleList(self.double(*pair) for pair in widths)
        self.pool = nn.MaxPool2d(2)
        self.bottom = self.double(512, 1024)
        self.up = nn.ModuleList()
        for channels in (512, 256, 128, 64):
            self.up.append(nn.ConvTranspose2d(2 * channels, channels, 2, stride=2))
            self.up.append(self.double(2 * channels, channels))
        self.last = nn.Conv2d(64, classes, 1)

    @staticmethod
    def double(before: int, channels: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(before, channels, 3), nn.ReLU(), nn.Conv2d(channels, channels, 3), nn.ReLU()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for down in self.down:
            skips.append(down(x))
            x = self.pool(skips[-1])
        x = self.bottom(x)
        for enlarge, double in zip(self.up[::2], self.up[1::2], strict=True):
            x = enlarge(x)
            skip = skips.pop()
            cut = (skip.shape[-1] - x.shape[-1]) // 2
            inner = slice(cut, cut + x.shape[-1])
            x = double(torch.cat([x, skip[:, :, inner, inner]], dim=1))
        return self.last(x)


def m5_audio(channels: int = 32, classes: int = 35) -> nn.Module:
    layers: list[nn.Module] = []
    before = 1
    for width, kernel, stride in ((1, 80, 16), (1, 3, 1), (2, 3, 1), (2, 3, 1)):
        conv = nn.Conv1d(before, width * channels, kernel, stride)
        layers += [conv, nn.BatchNorm1d(width * channels), nn.ReLU(), nn.MaxPool1d(4)]
        before = width * channels
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(before, classes), nn.Softmax(1)
    )


class TextCNN(nn.Module):
    """Kim 2014, the variant whose words begin at random."""

    def __init__(self, vocabulary: int = 20_000) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, 128)
        self.convs = nn.ModuleList(nn.Conv1d(128, 100, width) for width in (3, 4, 5))
        self.last = nn.Linear(300, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        words = self.words(x.long()).transpose(1, 2)  # (N, 128, L)
        largest = [nn.functional.relu(conv(words)).amax(2) for conv in self.convs]
        return self.last(torch.cat(largest, dim=1)).softmax(1)


def plain_net(channels: int, widths: tuple[int, ...], pools: int, flat: int) -> nn.Module:
    """Convolutions with batch norm, the first of them each before a pooling, and one dense layer."""
    layers: list[nn.Module] = []
    for number, (before, width) in enumerate(zip((channels, *widths), widths, strict=False)):
        layers += [conv_norm(before, width, 3), *([nn.MaxPool2d(2)] if number < pools else [])]
    return nn.Sequential(*layers, nn.Dropout(0.3), nn.Flatten(), nn.Linear(flat, 10), nn.Softmax(1))


def mnist_net() -> nn.Module:
    return plain_net(1, (16, 32, 32), 2, 32 * 7 * 7)


def fashion_net() -> nn.Module:
    return plain_net(1, (32, 64, 64), 2, 64 * 7 * 7)


def cifar_net() -> nn.Module:
    return plain_net(3, (32, 64, 128), 3, 128 * 4 * 4)


def video() -> nn.Module:
    def conv(before: int, channels: int) -> list[nn.Module]:
        return [nn.Conv3d(before, channels, 3, padding=1), nn.ReLU()]

    return nn.Sequential(
        *conv(3, 16), nn.MaxPool3d((1, 2, 2)), *conv(16, 32), nn.MaxPool3d(2),
        *conv(32, 64), *conv(64, 64), nn.MaxPool3d(2),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1),
    )  # fmt: skip


def unet(classes: int = 2) -> nn.Module:
    return UNet(classes)


def text_cnn(vocabulary: int = 20_000) -> nn.Module:
    return TextCNN(vocabulary)


_MAKERS: list[Callable[..., nn.Module]] = [
    lenet, lenet_caffe, mlp, shared, alexnet, vgg11, vgg16, nin, squeezenet1_1, googlenet, resnet18, resnet50,
    resnet20_cifar, densenet121, mobilenet_v1, mobilenet_v2, unet, m5_audio, text_cnn, video,
    mnist_net, fashion_net, cifar_net,
]  # fmt: skip
TWINS = {maker.__name__: maker for maker in _MAKERS}
"""The modules by the names of their specs."""
