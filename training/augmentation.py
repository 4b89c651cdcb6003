"""Random changes to whole batches of images on their device, drawn anew each time.

Each function takes and returns images, float [N, C, H, W] in 0..1; what comes in from outside a picture is 0 where nothing else is said.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

COARSE = 7  # `elastic` draws its displacements on a grid of 7x7


def none(images: Tensor) -> Tensor:
    """The images as they are."""
    return images


def _uniform(images: Tensor, low: float, high: float, *shape: int) -> Tensor:
    return torch.empty(len(images), *shape, device=images.device).uniform_(low, high)


def shift(images: Tensor, most: int = 2) -> Tensor:
    """Moves each image by up to `most` whole pixels both ways: one gather, no interpolation."""
    count, channels, height, width = images.shape
    padded = F.pad(images, (most,) * 4)
    tops = torch.randint(0, 2 * most + 1, (count, 1), device=images.device)
    lefts = torch.randint(0, 2 * most + 1, (count, 1), device=images.device)
    rows = (tops + torch.arange(height, device=images.device)).view(count, 1, height, 1)
    columns = (lefts + torch.arange(width, device=images.device)).view(count, 1, 1, width)
    planes = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return padded[torch.arange(count, device=images.device).view(-1, 1, 1, 1), planes, rows, columns]


def _affine_grid(images: Tensor, degrees: float, scale: float, shear: float, pixels: float) -> Tensor:
    angle = _uniform(images, -degrees, degrees) * (math.pi / 180)
    widths, heights = _uniform(images, 1 - scale, 1 + scale), _uniform(images, 1 - scale, 1 + scale)
    slant = _uniform(images, -shear, shear)
    height, width = images.shape[-2:]
    across, down = _uniform(images, -pixels, pixels) * 2 / width, _uniform(images, -pixels, pixels) * 2 / height
    cos, sin = torch.cos(angle), torch.sin(angle)
    top = torch.stack([cos * widths, (slant * cos - sin) * heights, across], dim=1)
    bottom = torch.stack([sin * widths, (slant * sin + cos) * heights, down], dim=1)
    return F.affine_grid(torch.stack([top, bottom], dim=1), list(images.shape), align_corners=False)


def affine(images: Tensor) -> Tensor:
    """Rotation to 12 degrees, scale to 15 %, shear to 0.2, shift to 2.5 pixels. A photo goes on beyond its edge as it is there."""
    grid = _affine_grid(images, degrees=12, scale=0.15, shear=0.2, pixels=2.5)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def rotate_shift(images: Tensor) -> Tensor:
    """Rotation to 20 degrees, shift to a fifth of the picture, as the code published with An et al. 2020, arXiv:2008.10400."""
    grid = _affine_grid(images, degrees=20, scale=0, shear=0, pixels=0.2 * images.shape[-1])
    return F.grid_sample(images, grid, align_corners=False)


def elastic(images: Tensor) -> Tensor:
    """Rotation to 10 degrees, scale to 12 %, shear to 0.15, shift to 2 pixels, and a smooth random displacement (Simard et al. 2003), strength
    up to about 1.5 pixels. A photo goes on beyond its edge as it is there.

    The displacement is noise on a 7x7 grid enlarged bicubically: as smooth as a Gaussian blur and far cheaper. Enlarging
    is linear, so that it is one matrix product.
    """
    grid = _affine_grid(images, degrees=10, scale=0.12, shear=0.15, pixels=2.0)
    coarse = torch.randn(len(images), 2, COARSE**2, device=images.device) * _uniform(images, 0.0, 0.075, 1, 1)
    bend = coarse.flatten(0, 1) @ _enlarging(images.shape[-2], images.shape[-1], images.device)
    grid = grid + bend.view(len(images), 2, *images.shape[-2:]).permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


@functools.cache
def _enlarging(height: int, width: int, device: torch.device) -> Tensor:
    """The matrix [49, height * width] that enlarges a flattened 7x7 grid bicubically."""
    corners = torch.eye(COARSE**2).view(-1, 1, COARSE, COARSE)
    return F.interpolate(corners, size=(height, width), mode="bicubic", align_corners=False).flatten(1).to(device)


def flip(images: Tensor) -> Tensor:
    """Left-right mirror image of half of them: for garments, which have no handedness."""
    flipped = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(flipped, images.flip(3), images)


def mirror(images: Tensor) -> Tensor:
    """`flip`, then `shift`."""
    return shift(flip(images))


def mirror_erase(images: Tensor) -> Tensor:
    """`mirror`, and in half of them one square of 4 to 12 pixels filled with a random grey (Zhong et al. 2017, arXiv:1708.04896)."""
    images = mirror(images)
    height, width = images.shape[-2:]
    size = _uniform(images, 4, 12, 1, 1, 1)
    row, column = _uniform(images, 0, height, 1, 1, 1), _uniform(images, 0, width, 1, 1, 1)
    inside = (torch.arange(height, device=images.device).view(1, 1, -1, 1) - row).abs() < size / 2
    inside = inside & ((torch.arange(width, device=images.device).view(1, 1, 1, -1) - column).abs() < size / 2)
    inside = inside & (torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5)
    return torch.where(inside, _uniform(images, 0, 1, 1, 1, 1), images)


AUGMENTATIONS = {
    "none": none,
    "shift": shift,
    "affine": affine,
    "rotate_shift": rotate_shift,
    "elastic": elastic,
    "flip": flip,
    "mirror": mirror,
    "mirror_erase": mirror_erase,
}
