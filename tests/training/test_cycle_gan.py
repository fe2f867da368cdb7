from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from darnet.networks import EntangledTranslator
from darnet.plans import TranslationPlan
from darnet.training.cycle_gan import CycleGANStep, ImagePool, cycle_both_ways
from darnet.training.loaders import SliceBatch
from darnet.training.optimizer import linear_learning_rate

TINY = TranslationPlan(
    slice_size=(16, 16),
    width=2,
    method="entangled",
    discriminator_width=3,
    iterations=8,
    batch_size=2,
    weight_cycle=7.0,
)


class Slices:
    """Gives the same slices in every iteration, with noise where it is asked for."""

    def __init__(self, name: str, images: torch.Tensor, noise: float) -> None:
        self.name, self.images, self.noise = name, images, noise

    def batch(self, rng: np.random.Generator) -> SliceBatch:
        noise = torch.from_numpy(rng.normal(0, self.noise, tuple(self.images.shape)).astype(np.float32))
        cases = tuple(f"{self.name}{i}" for i in range(len(self.images)))
        return SliceBatch((self.images + noise).clamp(-1, 1), cases)


def two_domains() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return (
        torch.from_numpy(rng.uniform(-1, 1, (2, 1, 16, 16)).astype(np.float32)),
        torch.from_numpy(rng.uniform(-1, 0, (2, 1, 16, 16)).astype(np.float32)),
    )


def tiny_step(noise: float = 0.0, target: torch.Tensor | None = None) -> CycleGANStep:
    a, b = two_domains()
    b = b if target is None else target
    return CycleGANStep(TINY, Slices("a", a, noise), Slices("b", b, noise), torch.device("cpu"), seed=3)


def distance(x: torch.Tensor, y: torch.Tensor) -> float:
    return float(np.abs(x.detach().numpy().astype(float) - y.detach().numpy()).mean())


def least_squares(maps: tuple[torch.Tensor, ...], value: float) -> float:
    return float(np.mean([((m.detach().numpy().astype(float) - value) ** 2).mean() for m in maps]))


class Paths:
    """Each image, one network call at a time."""

    def __init__(self, g: EntangledTranslator, a: torch.Tensor, b: torch.Tensor) -> None:
        self.ab, self.ba = g.to_target(a), g.to_source(b)
        self.aa, self.bb = g.to_source(a), g.to_target(b)
        self.aba, self.bab = g.to_source(self.ab), g.to_target(self.ba)


@pytest.fixture(scope="module")
def one_update():
    step = tiny_step()
    before = copy.deepcopy(step.translator), copy.deepcopy(step.discriminators)
    losses = step.update(0)
    a, b = two_domains()
    return losses, a, b, Paths(before[0], a, b), before, step


def test_all_translations_follow_the_equations():
    torch.manual_seed(0)
    translator = EntangledTranslator(2, 2)
    a, b = two_domains()
    c, p = cycle_both_ways(translator, a, b), Paths(translator, a, b)
    pairs = [
        (c.a, a), (c.b, b), (c.ab, p.ab), (c.ba, p.ba), (c.identity_a, p.aa), (c.identity_b, p.bb),
        (c.cycled_a, p.aba), (c.cycled_b, p.bab),
    ]  # fmt: skip
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_losses_of_the_generators(one_update):
    losses, a, b, p, (_, d), _ = one_update
    assert losses.cycle == pytest.approx(distance(a, p.aba) + distance(b, p.bab), rel=1e-4)
    assert losses.identity == pytest.approx(distance(a, p.aa) + distance(b, p.bb), rel=1e-4)
    adversarial = least_squares(d["source"](p.ba), 1) + least_squares(d["target"](p.ab), 1)
    assert losses.adversarial_image == pytest.approx(adversarial, rel=1e-4)
    expected = 7 * losses.cycle + 5 * losses.identity + losses.adversarial_image
    assert losses.generator == pytest.approx(expected, rel=1e-5)


def test_loss_of_the_discriminators_is_halved(one_update):
    losses, a, b, p, (_, d), _ = one_update
    expected = least_squares(d["source"](a), 1) + least_squares(d["source"](p.ba), 0)
    expected += least_squares(d["target"](b), 1) + least_squares(d["target"](p.ab), 0)
    assert losses.discriminator == pytest.approx(expected / 2, rel=1e-4)


def test_first_step_of_adam_is_its_rate_against_the_gradient(one_update):
    _, a, b, _, (before, d), step = one_update
    generator = copy.deepcopy(before).requires_grad_()
    generator.zero_grad()
    p = Paths(generator, a, b)
    loss = 7 * ((p.aba - a).abs().mean() + (p.bab - b).abs().mean())
    loss = loss + 5 * ((p.aa - a).abs().mean() + (p.bb - b).abs().mean())
    loss = loss + (d["source"](p.ba)[0] - 1).square().mean() + (d["target"](p.ab)[0] - 1).square().mean()
    gradients = torch.autograd.grad(loss, list(generator.parameters()))
    for old, new, gradient in zip(before.parameters(), step.translator.parameters(), gradients, strict=True):
        sure = gradient.abs() > 1e-3  # a bias before a norm has none, but for rounding
        torch.testing.assert_close((old - new)[sure], 2e-4 * gradient[sure].sign(), rtol=1e-2, atol=1e-7)


def test_record_and_gradients_of_the_discriminators(one_update):
    losses, *_, step = one_update
    assert losses.cases == ("a0", "a1", "b0", "b1")
    assert set(losses.values()) == {
        "generator", "discriminator", "cycle", "identity", "adversarial_image", "learning_rate",
    }  # fmt: skip
    assert losses.learning_rate == 2e-4
    assert all(p.requires_grad for p in step.discriminators.parameters())


def test_the_pools_keep_what_was_translated(one_update):
    *_, p, _, step = one_update
    for name, fake in (("source", p.ba), ("target", p.ab)):
        pool = step.pools[name]
        assert int(pool.held) == 2
        torch.testing.assert_close(pool.images[:2], fake.detach(), rtol=1e-3, atol=1e-4)


def test_pool_shows_new_images_while_it_has_room():
    pool, rng = ImagePool((2, 2), size=3), np.random.default_rng(0)
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    assert torch.equal(pool.exchange(images, rng), images)
    assert torch.equal(pool.images, images)


def test_full_pool_exchanges_half_of_the_images():
    pool, rng = ImagePool((1, 1), size=4), np.random.default_rng(0)
    held = {float(n) for n in range(4)}
    pool.exchange(torch.arange(4.0).reshape(4, 1, 1, 1), rng)
    former = 0
    for number in range(4, 404):
        shown = float(pool.exchange(torch.full((1, 1, 1, 1), float(number)), rng))
        if shown != number:
            former += 1
            held = held - {shown} | {float(number)}
        assert {float(v) for v in pool.images.flatten()} == held
    assert 160 < former < 240


@pytest.mark.parametrize(("iteration", "expected"), [(0, 1.0), (49, 1.0), (50, 1.0), (75, 0.5), (90, 0.2), (99, 0.02)])
def test_linear_learning_rate(iteration, expected):
    assert linear_learning_rate(iteration, 100, 1.0) == pytest.approx(expected)


def test_both_optimizers_get_the_rate_of_the_iteration():
    step = tiny_step()
    assert step.update(6).learning_rate == pytest.approx(1e-4)
    for optimizer in (step.generator_optimizer, step.discriminator_optimizer):
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-4])
        assert optimizer.param_groups[0]["betas"] == (0.5, 0.999)


def test_bad_values_leave_weights_and_pools_as_they_were():
    target = two_domains()[1].clone()
    target[0, 0, 0, 0] = math.nan
    step = tiny_step(target=target)
    before = {name: t.clone() for name, t in step.tensors().items()}
    assert not math.isfinite(step.update(0).generator)
    after = step.tensors()
    assert set(after) == set(before)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_resumed_training_goes_on_exactly(monkeypatch):
    # A small pool, full when the training stops, so that the images shown depend on what it holds.
    monkeypatch.setattr(ImagePool.__init__, "__defaults__", (3,))
    straight = tiny_step(noise=0.1)
    for iteration in range(3):
        straight.update(iteration)
    assert int(straight.pools["source"].held) == 3
    saved = {name: t.clone() for name, t in straight.tensors().items()}
    expected = [straight.update(i) for i in range(3, 7)]
    resumed = tiny_step(noise=0.1)
    resumed.load(saved)
    assert [resumed.update(i) for i in range(3, 7)] == expected
    final = resumed.tensors()
    assert all(torch.equal(t, final[name]) for name, t in straight.tensors().items())


def test_training_lowers_the_cycle_loss():
    step = tiny_step()
    first = step.update(0).cycle
    for _ in range(20):
        last = step.update(1).cycle
    assert last < 0.9 * first


def test_preview_has_a_row_for_each_slice_of_both_domains():
    a, b = two_domains()
    step = tiny_step()
    rows, p = step.preview(a, b), Paths(step.translator, a, b)
    assert [len(row) for row in rows] == [4] * 4
    for found, expected in zip(rows[3], (b, p.bb, p.ba, p.bab), strict=True):
        np.testing.assert_allclose(found, expected[1, 0].detach().numpy(), atol=1e-4)
