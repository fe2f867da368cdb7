from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch

from darnet.losses import content_segmentation_loss
from darnet.networks import Translator
from darnet.plans import TranslationPlan
from darnet.training.loaders import SliceBatch
from darnet.training.seeds import generator_for
from darnet.training.translation import TranslationStep, translate_both_ways

TINY = TranslationPlan(
    slice_size=(16, 16),
    width=2,
    style_dim=3,
    residual_blocks=1,
    discriminator_width=4,
    discriminator_layers=2,
    discriminator_scales=2,
    content_discriminator_layers=1,
    batch_size=2,
    weight_image=7.0,
    weight_content=2.0,
    weight_style=3.0,
    weight_cycle=5.0,
    learning_rate_generator=1e-3,
    learning_rate_discriminator=2e-3,
)


class FixedSlices:
    """Gives the same slices in every iteration."""

    def __init__(self, name: str, images: torch.Tensor) -> None:
        self.name, self.images = name, images

    def batch(self, rng: np.random.Generator) -> SliceBatch:
        return SliceBatch(self.images, tuple(f"{self.name}{i}" for i in range(len(self.images))))


class RandomSlices(FixedSlices):
    def batch(self, rng: np.random.Generator) -> SliceBatch:
        noise = torch.from_numpy(rng.normal(0, 0.1, tuple(self.images.shape)).astype(np.float32))
        return dataclasses.replace(super().batch(rng), images=(self.images + noise).clamp(-1, 1))


def two_domains() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return (
        torch.from_numpy(rng.uniform(-1, 1, (2, 1, 16, 16)).astype(np.float32)),
        torch.from_numpy(rng.uniform(-1, 0, (2, 1, 16, 16)).astype(np.float32)),
    )


def tiny_step(
    plan: TranslationPlan = TINY, kind: type[FixedSlices] = FixedSlices, target: torch.Tensor | None = None
) -> TranslationStep:
    a, b = two_domains()
    b = b if target is None else target
    return TranslationStep(plan, kind("a", a), kind("b", b), torch.device("cpu"), seed=3)


def distance(x: torch.Tensor, y: torch.Tensor) -> float:
    return float(np.abs(x.detach().numpy().astype(float) - y.detach().numpy()).mean())


def least_squares(maps: tuple[torch.Tensor, ...], value: float) -> float:
    return float(np.mean([((m.detach().numpy().astype(float) - value) ** 2).mean() for m in maps]))


class Paths:
    """Each image and code of section III.A, one network call at a time."""

    def __init__(self, g: Translator, a: torch.Tensor, b: torch.Tensor) -> None:
        self.c_a, self.c_b = g.content(a), g.content(b)
        self.s_a, self.s_b = g.style_source(a), g.style_target(b)
        self.aa, self.bb = g.decoder(self.c_a, self.s_a), g.decoder(self.c_b, self.s_b)
        self.ab, self.ba = g.decoder(self.c_a, self.s_b), g.decoder(self.c_b, self.s_a)
        self.c_ab, self.c_ba = g.content(self.ab), g.content(self.ba)
        self.s_ab, self.s_ba = g.style_target(self.ab), g.style_source(self.ba)
        self.aba, self.bab = g.decoder(self.c_ab, self.s_a), g.decoder(self.c_ba, self.s_b)


@pytest.fixture(scope="module")
def one_update():
    step = tiny_step()
    before = copy.deepcopy(step.translator), copy.deepcopy(step.discriminators)
    losses = step.update(0)
    a, b = two_domains()
    return losses, a, b, Paths(before[0], a, b), before, step


def test_contents_pass_the_convolution_before_any_style_once():
    step, sizes = tiny_step(), []
    step.translator.decoder.blocks[0].register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    a, b = two_domains()
    translate_both_ways(step.translator, a, b)
    assert sizes == [2 * len(a), 2 * len(a)]  # reconstruction and translation together, then the cycle


def test_all_translations_follow_the_equations():
    torch.manual_seed(0)
    translator = Translator(2, 3, 1)
    a, b = two_domains()
    t, p = translate_both_ways(translator, a, b), Paths(translator, a, b)
    pairs = [
        (t.a, a), (t.b, b), (t.content_a, p.c_a), (t.content_b, p.c_b), (t.style_a, p.s_a), (t.style_b, p.s_b),
        (t.reconstructed_a, p.aa), (t.reconstructed_b, p.bb), (t.ab, p.ab), (t.ba, p.ba),
        (t.content_ab, p.c_ab), (t.content_ba, p.c_ba), (t.style_ab, p.s_ab), (t.style_ba, p.s_ba),
        (t.cycled_a, p.aba), (t.cycled_b, p.bab),
    ]  # fmt: skip
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_image_reconstruction_loss(one_update):
    losses, a, b, p, *_ = one_update
    assert losses.image == pytest.approx(distance(a, p.aa) + distance(b, p.bb), rel=1e-4)


def test_content_reconstruction_loss(one_update):
    losses, _, _, p, *_ = one_update
    assert losses.content == pytest.approx(distance(p.c_a, p.c_ab) + distance(p.c_b, p.c_ba), rel=1e-4)


def test_style_reconstruction_loss(one_update):
    # s_a comes back from the image of content b in style a, through the style encoder of a.
    losses, _, _, p, *_ = one_update
    assert losses.style == pytest.approx(distance(p.s_a, p.s_ba) + distance(p.s_b, p.s_ab), rel=1e-4)


def test_cycle_loss(one_update):
    losses, a, b, p, *_ = one_update
    assert losses.cycle == pytest.approx(distance(a, p.aba) + distance(b, p.bab), rel=1e-4)


def test_discriminator_loss(one_update):
    losses, a, b, p, (_, d), _ = one_update
    expected = least_squares(d.source(a), 1) + least_squares(d.source(p.ba), 0)
    expected += least_squares(d.target(b), 1) + least_squares(d.target(p.ab), 0)
    expected += least_squares(d.content(p.c_a), 0) + least_squares(d.content(p.c_b), 1)
    assert losses.discriminator == pytest.approx(expected, rel=1e-4)


def test_adversarial_losses_meet_the_discriminators_after_their_step(one_update):
    losses, _, _, p, (_, former), step = one_update
    d = step.discriminators
    image = least_squares(d.source(p.ba), 1) + least_squares(d.target(p.ab), 1)
    content = least_squares(d.content(p.c_a), 1) + least_squares(d.content(p.c_b), 0)
    assert losses.adversarial_image == pytest.approx(image, rel=1e-4)
    assert losses.adversarial_content == pytest.approx(content, rel=1e-4)
    assert least_squares(former.content(p.c_a), 1) != pytest.approx(least_squares(d.content(p.c_a), 1), rel=1e-4)


def test_generator_loss_is_the_weighted_sum(one_update):
    losses = one_update[0]
    expected = 7 * losses.image + 2 * losses.content + 3 * losses.style + 5 * losses.cycle
    expected += losses.adversarial_image + losses.adversarial_content
    assert losses.generator == pytest.approx(expected, rel=1e-5)


def test_generator_gradient_is_that_of_the_composed_loss(one_update):
    _, a, b, _, (before, _), step = one_update
    generator = copy.deepcopy(before).requires_grad_()
    generator.zero_grad()
    p, d = Paths(generator, a, b), step.discriminators

    def l1(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.l1_loss(x, y)

    def to(maps: tuple[torch.Tensor, ...], value: float) -> torch.Tensor:
        return sum(torch.nn.functional.mse_loss(m, torch.full_like(m, value)) for m in maps) / len(maps)

    loss = 7 * (l1(p.aa, a) + l1(p.bb, b)) + 2 * (l1(p.c_ab, p.c_a) + l1(p.c_ba, p.c_b))
    loss = loss + 3 * (l1(p.s_ba, p.s_a) + l1(p.s_ab, p.s_b)) + 5 * (l1(p.aba, a) + l1(p.bab, b))
    loss = loss + to(d.source(p.ba), 1) + to(d.target(p.ab), 1) + to(d.content(p.c_a), 1) + to(d.content(p.c_b), 0)
    names = [n for n, _ in generator.named_parameters()]
    expected = torch.autograd.grad(loss, list(generator.parameters()))
    # The first step of the optimizer is plain momentum: the weights move by the rate times the gradient.
    moved = dict(step.translator.named_parameters())
    start = dict(before.named_parameters())
    for name, gradient in zip(names, expected, strict=True):
        move = (start[name] - moved[name]).detach() / TINY.learning_rate_generator
        torch.testing.assert_close(move, gradient, rtol=2e-2, atol=2e-3)


def test_cases_and_names_of_the_record(one_update):
    losses = one_update[0]
    assert losses.cases == ("a0", "a1", "b0", "b1")
    assert set(losses.values()) == {
        "generator", "discriminator", "image", "content", "style", "cycle", "adversarial_image", "adversarial_content",
    }  # fmt: skip


def test_average_is_updated_after_the_generator(one_update):
    *_, (before, _), step = one_update
    # Decay of the first iteration: 1 / 10.
    old, new = before.decoder.head.weight, step.translator.decoder.head.weight
    torch.testing.assert_close(step.average.average.decoder.head.weight, 0.1 * old + 0.9 * new)


def test_discriminators_keep_no_gradient_of_the_generator(one_update):
    *_, step = one_update
    assert all(p.requires_grad for p in step.discriminators.parameters())
    assert all(p.requires_grad for p in step.translator.parameters())


def test_without_cycle_the_loss_leaves_it_out():
    plan = copy.copy(TINY)
    object.__setattr__(plan, "weight_cycle", 0.0)
    losses = tiny_step(plan).update(0)
    expected = 7 * losses.image + 2 * losses.content + 3 * losses.style
    expected += losses.adversarial_image + losses.adversarial_content
    assert losses.cycle > 0
    assert losses.generator == pytest.approx(expected, rel=1e-5)


WITH_HEAD = dataclasses.replace(TINY, segmentation_weight=4.0)


class LabelledSlices(RandomSlices):
    """Labels that the images show: what is brighter than a fifth."""

    def batch(self, rng: np.random.Generator) -> SliceBatch:
        batch = super().batch(rng)
        return dataclasses.replace(batch, labels=(batch.images[:, 0] > 0.2).long())


def head_step(plan: TranslationPlan = WITH_HEAD) -> TranslationStep:
    a, b = two_domains()
    a = torch.nn.functional.interpolate(a[:, :, :4, :4], scale_factor=4)  # squares that a content code can tell apart
    source, target = LabelledSlices("a", a), RandomSlices("b", b)
    return TranslationStep(plan, source, target, torch.device("cpu"), seed=3, num_classes=2)


def test_head_finds_the_classes_before_and_after_translation():
    step = head_step()
    rng = generator_for(3, "translation", 0)
    a, b = step.source.batch(rng), step.target.batch(rng)
    p, head = Paths(copy.deepcopy(step.translator), a.images, b.images), copy.deepcopy(step.head)
    losses = step.update(0)
    logits = torch.cat((head(p.c_a), head(p.c_ab)))
    expected = content_segmentation_loss(logits, torch.cat((a.labels, a.labels))).item()
    assert losses.segmentation == pytest.approx(expected, rel=1e-4)
    others = 7 * losses.image + 2 * losses.content + 3 * losses.style + 5 * losses.cycle
    others += losses.adversarial_image + losses.adversarial_content
    assert losses.generator == pytest.approx(others + 4 * losses.segmentation, rel=1e-5)
    assert losses.values()["segmentation"] == losses.segmentation


def test_head_learns():
    step = head_step()
    first = step.update(0).segmentation
    for iteration in range(1, 40):
        last = step.update(iteration).segmentation
    assert last < 0.85 * first


def test_head_changes_the_translator_and_nothing_that_comes_before():
    plain, step = head_step(TINY), head_step()
    without, losses = plain.update(0).values(), step.update(0).values()
    assert "segmentation" not in without
    assert all(losses[name] == value for name, value in without.items() if name != "generator")
    for part in ("content.stem.weight", "decoder.head.weight"):
        assert not torch.equal(plain.translator.get_parameter(part), step.translator.get_parameter(part))
    assert not any(name.startswith("head.") for name in plain.tensors())


def test_resumed_training_with_a_head_goes_on_exactly():
    straight = head_step()
    straight.update(0)
    saved = {name: t.clone() for name, t in straight.tensors().items()}
    expected = [straight.update(i) for i in (1, 2)]
    resumed = head_step()
    resumed.load(saved)
    assert [resumed.update(i) for i in (1, 2)] == expected
    final = resumed.tensors()
    assert any(name.startswith("head.") for name in final)
    assert all(torch.equal(t, final[name]) for name, t in straight.tensors().items())


class SlicesWithNeighbours(RandomSlices):
    """Neighbours that differ a little, half of them."""

    def batch(self, rng: np.random.Generator) -> SliceBatch:
        batch = super().batch(rng)
        neighbours = batch.images.clone()
        neighbours[:, :, 4:, :8] = (neighbours[:, :, 4:, :8] + 0.2).clamp(-1, 1)
        return dataclasses.replace(batch, neighbours=neighbours)


def depth_step(weight: float) -> TranslationStep:
    a, b = two_domains()
    plan = dataclasses.replace(TINY, depth_consistency=weight)
    return TranslationStep(plan, SlicesWithNeighbours("a", a), RandomSlices("b", b), torch.device("cpu"), seed=3)


def test_neighbouring_planes_are_compared_in_the_same_styles():
    step = depth_step(6.0)
    rng = generator_for(3, "translation", 0)
    a, b = step.source.batch(rng), step.target.batch(rng)
    g = copy.deepcopy(step.translator)
    losses = step.update(0)
    ab, beside = (g.decoder(g.content(x), g.style_target(b.images)) for x in (a.images, a.neighbours))
    weight = np.exp(-np.abs((a.images - a.neighbours).numpy()) / 0.1)
    difference = np.abs((ab - beside).detach().numpy())
    assert losses.depth == pytest.approx(float((weight * difference).sum() / weight.sum()), rel=1e-3)
    others = 7 * losses.image + 2 * losses.content + 3 * losses.style + 5 * losses.cycle
    others += losses.adversarial_image + losses.adversarial_content
    assert losses.generator == pytest.approx(others + 6 * losses.depth, rel=1e-5)


def test_consistency_along_depth_is_learned():
    plain, step = depth_step(0.0), depth_step(100.0)
    assert "depth" not in plain.update(0).values()
    first = step.update(0).depth
    for iteration in range(1, 25):
        last = step.update(iteration).depth
    assert last < 0.7 * first


def test_resumed_training_with_neighbours_goes_on_exactly():
    straight, resumed = depth_step(6.0), depth_step(6.0)
    straight.update(0)
    resumed.load({name: t.clone() for name, t in straight.tensors().items()})
    assert straight.update(1) == resumed.update(1)
    final = resumed.tensors()
    assert all(torch.equal(t, final[name]) for name, t in straight.tensors().items())


def test_bad_values_leave_all_weights_as_they_were():
    target = two_domains()[1].clone()
    target[0, 0, 0, 0] = math.nan
    step = tiny_step(target=target)
    before = {name: t.clone() for name, t in step.tensors().items()}
    losses = step.update(0)
    assert not math.isfinite(losses.generator)
    after = step.tensors()
    assert set(after) == set(before)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_resumed_training_goes_on_exactly():
    straight = tiny_step(kind=RandomSlices)
    straight.update(0)
    saved = {name: t.clone() for name, t in straight.tensors().items()}
    expected = [straight.update(i) for i in (1, 2)]
    resumed = tiny_step(kind=RandomSlices)
    resumed.load(saved)
    assert [resumed.update(i) for i in (1, 2)] == expected
    final = resumed.tensors()
    assert all(torch.equal(t, final[name]) for name, t in straight.tensors().items())


WITH_CURVES = dataclasses.replace(TINY, content_curves=1.0)


def test_contents_alone_are_those_of_slices_along_curves():
    """Losses and styles are of the slices as they are, and so are the contents of translations."""
    step = tiny_step(WITH_CURVES)
    a, b = two_domains()
    seen: list[torch.Tensor] = []
    step.translator.content.register_forward_hook(lambda _, given, __: seen.append(given[0].detach().clone()))
    before = copy.deepcopy(step.translator)
    losses = step.update(0)
    shown = seen[0]
    assert shown.shape == torch.cat((a, b)).shape and (shown != torch.cat((a, b))).flatten(1).any(1).all()
    c_a, c_b = before.content(shown).chunk(2)
    s_a, s_b = before.style_source(a), before.style_target(b)
    ab, ba = before.decoder(c_a, s_b), before.decoder(c_b, s_a)
    torch.testing.assert_close(seen[1], torch.cat((ab, ba)).detach(), rtol=1e-3, atol=1e-4)
    expected = distance(before.decoder(c_a, s_a), a) + distance(before.decoder(c_b, s_b), b)
    assert losses.image == pytest.approx(expected, rel=1e-3)
    style = distance(before.style_source(ba), s_a) + distance(before.style_target(ab), s_b)
    assert losses.style == pytest.approx(style, rel=1e-3)


def test_without_curves_contents_are_of_the_slices_themselves():
    step, seen = tiny_step(), []
    step.translator.content.register_forward_hook(lambda _, given, __: seen.append(given[0].detach().clone()))
    step.update(0)
    assert torch.equal(seen[0], torch.cat(two_domains()))


def test_previews_show_slices_as_they_are():
    step, seen = tiny_step(WITH_CURVES), []
    step.average.average.content.register_forward_hook(lambda _, given, __: seen.append(given[0].clone()))
    a, b = two_domains()
    step.preview(a, b)
    assert torch.equal(seen[0], torch.cat((a, b)))


def test_resumed_training_with_curves_goes_on_exactly():
    straight = tiny_step(WITH_CURVES, kind=RandomSlices)
    straight.update(0)
    saved = {name: t.clone() for name, t in straight.tensors().items()}
    expected = straight.update(1)
    resumed = tiny_step(WITH_CURVES, kind=RandomSlices)
    resumed.load(saved)
    assert resumed.update(1) == expected


def test_a_neighbour_is_shown_along_the_curve_of_its_slice():
    """Planes that are the same have the same translation, whatever the curve."""

    class Twins(FixedSlices):
        def batch(self, rng):
            batch = super().batch(rng)
            return dataclasses.replace(batch, neighbours=batch.images.clone())

    plan = dataclasses.replace(WITH_CURVES, depth_consistency=1.0)
    losses = tiny_step(plan, kind=Twins).update(0)
    assert losses.depth is not None and losses.depth < 1e-5


def test_training_lowers_the_reconstruction():
    step = tiny_step()
    first = step.update(0).image
    for iteration in range(1, 25):
        last = step.update(iteration).image
    assert last < 0.95 * first


def test_preview_has_a_row_for_each_slice_of_both_domains():
    a, b = two_domains()
    rows = tiny_step().preview(a, b)
    assert [len(row) for row in rows] == [4] * 4
    assert all(picture.shape == (16, 16) for row in rows for picture in row)
    np.testing.assert_array_equal(rows[1][0], a[1, 0].numpy())
    np.testing.assert_array_equal(rows[2][0], b[0, 0].numpy())
