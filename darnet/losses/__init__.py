"""Losses of the translator and of the segmentation."""

from darnet.losses.adversarial import (
    content_discriminator_loss,
    content_generator_loss,
    lsgan_discriminator,
    lsgan_generator,
)
from darnet.losses.consistency import depth_consistency_loss
from darnet.losses.dice import soft_dice_loss
from darnet.losses.focal import focal_loss
from darnet.losses.reconstruction import l1
from darnet.losses.segmentation import content_segmentation_loss, segmentation_loss

__all__ = [
    "content_discriminator_loss",
    "content_generator_loss",
    "content_segmentation_loss",
    "depth_consistency_loss",
    "focal_loss",
    "l1",
    "lsgan_discriminator",
    "lsgan_generator",
    "segmentation_loss",
    "soft_dice_loss",
]
