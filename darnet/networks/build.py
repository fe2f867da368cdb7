"""Networks from the plan."""

from __future__ import annotations

from torch import nn

from darnet.networks.cycle_gan import EntangledTranslator, OverlappingPatchDiscriminator, strided_layers
from darnet.networks.dar_unet import DARUNet
from darnet.networks.discriminators import ContentDiscriminator, ImageDiscriminator
from darnet.networks.translation import Translator
from darnet.plans import SegmentationPlan, TranslationPlan

AnyTranslator = Translator | EntangledTranslator


def build_segmentation(plan: SegmentationPlan, num_classes: int) -> DARUNet:
    """The DAR-UNet of a plan, for one image channel."""
    return DARUNet(
        in_channels=1,
        num_classes=num_classes,
        channels=plan.channels,
        strides=plan.strides,
        quartet_attention=plan.quartet_attention,
        voxel_attention=plan.voxel_attention,
        deep_supervision=plan.deep_supervision,
        quartet_norm=plan.quartet_norm,
        voxel_sigmoid=plan.voxel_sigmoid,
    )


def build_translator(plan: TranslationPlan) -> Translator:
    """The content/style translator of a plan."""
    return Translator(plan.width, plan.style_dim, plan.residual_blocks, plan.style_norm)


def build_entangled(plan: TranslationPlan) -> EntangledTranslator:
    """CycleGAN's generators in the width of a plan."""
    return EntangledTranslator(plan.width)


def build_discriminators(plan: TranslationPlan) -> nn.ModuleDict:
    """D_a, D_b and D_c of section III.A.2, "source", "target" and "content", of a plan."""

    def image() -> ImageDiscriminator:
        return ImageDiscriminator(plan.discriminator_width, plan.discriminator_layers, plan.discriminator_scales)

    def content() -> ContentDiscriminator:
        return ContentDiscriminator(4 * plan.width, plan.content_discriminator_layers)

    return nn.ModuleDict({"source": image(), "target": image(), "content": content()})


def build_patch_discriminators(plan: TranslationPlan) -> nn.ModuleDict:
    """CycleGAN's discriminators of "source" and "target" in the width of a plan, with patches that suit its slices."""
    strided = strided_layers(plan.training_size)
    return nn.ModuleDict(
        {domain: OverlappingPatchDiscriminator(plan.discriminator_width, strided) for domain in ("source", "target")}
    )
