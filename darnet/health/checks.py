"""What a translation must show before a segmentation learns on it.

Limits are rules of thumb: they say where to look, not whether masks may be used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from darnet.health.findings import Finding, Level
from darnet.health.measure import TranslationFacts
from darnet.health.probe import Recovered
from darnet.synthesis import StyleBank
from darnet.words import number, percent, several

LEAST_CONTRAST = 0.05  # standard deviation in the range of -1 to 1
LEAST_OF_TARGET = 0.5  # contrast of a style, as a share of that of the target scan that shows least
LEAST_CHANGE = 0.03  # mean difference from the source, the same range
LEAST_APART = 0.01  # mean difference of two styles
FLICKER_RATIO = 1.5  # of translated to source volumes
BLUR_RATIO = 0.85  # of the sharpness of translated volumes to that of source and target, whichever is less sharp
MADE_UP_BY = 0.3  # share of patches of source volumes as they are that makes up for blurred ones
WORST_BLUR = 0.5  # of the expected sharpness: below it nothing makes up for it
LARGEST_CLUSTER = 0.9  # share of the slices
MANY_SCANS = 5  # of which a cluster should have more than one
LEAST_TOLD = 0.65  # area under the ROC curve in the source from which on the probe says something of a class
LITTLE_KEPT, LEAST_KEPT = 0.7, 0.4  # of what the probe knows in the source beyond guessing


def check_facts(facts: TranslationFacts) -> Iterator[Finding]:
    """Contrast, change, styles and intensities of translated volumes."""
    if not facts.contrast >= LEAST_CONTRAST:
        yield Finding("bad", "Contrast of translated volumes",
                      f"A translated volume deviates by only {number(50 * facts.contrast, 2)} % of the range: "
                      "it shows almost nothing. The translation has collapsed, or a style is nearly black.",
                      "Look at translation/previews and synthetic/styles.png. Train the translator longer or with "
                      "another seed, and look for target slices that show nothing.",
                      f"at least {_of_range(LEAST_CONTRAST)}.")  # fmt: skip
    else:
        yield _contrast_of_styles(facts)
    change = f"They differ from their source by {_of_range(facts.change)}."
    if facts.change < LEAST_CHANGE:
        yield Finding("bad", "Translated volumes look like their source", f"{change} Almost nothing was translated.",
                      "Train the translator longer. If the two kinds of scan do look alike, adaptation may not be "
                      "needed.", f"at least {_of_range(LEAST_CHANGE)}.")  # fmt: skip
    else:
        yield Finding("good", "Translated volumes differ from their source", change)
    if facts.styles_apart < LEAST_APART:
        yield Finding("doubtful", "Styles look alike", f"Two styles of a volume differ by "
                      f"{_of_range(facts.styles_apart)}.",
                      "The style has no effect: train the translator longer, or plan fewer styles.",
                      f"at least {_of_range(LEAST_APART)}.")  # fmt: skip
    away = (f"Intensities of source scans are {_of_range(facts.distance_before)} away from target scans, those of "
            f"translated volumes {_of_range(facts.distance_after)}.")  # fmt: skip
    if facts.distance_after >= facts.distance_before:
        yield Finding("doubtful", "Intensities after translation", away,
                      "Translation did not bring the intensities nearer. Compare the styles with target scans; train "
                      "the translator longer.", "translated volumes nearer to target scans.")  # fmt: skip
    else:
        yield Finding("good", "Intensities after translation", away)


def _contrast_of_styles(facts: TranslationFacts) -> Finding:
    """Whether each style shows about as much as target scans do: a style of dark slices makes dark volumes."""
    title, least = "Contrast of translated volumes", LEAST_OF_TARGET * facts.target_contrast
    weak = [(k, value) for k, value in enumerate(facts.style_contrast, 1) if value < least]
    if not math.isfinite(least):
        return Finding("good", title, "Translated volumes show contrast; that of target scans could not be measured.")
    if not weak:
        return Finding("good", title, "Volumes of all styles show contrast within the body.")
    shown = several([f"style {k} by {_of_range(value)}" for k, value in weak])
    fewer = "plan fewer styles (synthesis.number_of_styles), or " if len(facts.style_contrast) > 1 else ""
    return Finding("doubtful", title, f"Translated volumes deviate within the body in {shown}, target scans by at "
                   f"least {_of_range(facts.target_contrast)}: such volumes are dark or grey.",
                   f"Patches of them teach little. If masks come out badly, {fewer}train the translator longer.",
                   f"at least {_of_range(least)} in each style.")  # fmt: skip


def _of_range(value: float) -> str:
    """A difference of intensities in -1 to 1 as a share of that range."""
    return f"{number(50 * value, 2)} % of the range"


def check_detail(facts: TranslationFacts, source_share: float = 0.0) -> Iterator[Finding]:
    """Flicker from plane to plane, and blur within planes.

    Args:
        facts: What was measured.
        source_share: Share of the patches that show source volumes as they are, whose borders are sharp.
    """
    source, translated, target = (facts.flicker[kind] for kind in ("source", "translated", "target"))
    if math.isfinite(source) and math.isfinite(translated):
        text = (f"From plane to plane translated volumes change by {number(translated, 2)} standard deviations of "
                f"their intensities, source volumes by {number(source, 2)}.")  # fmt: skip
        if translated > FLICKER_RATIO * source:
            yield Finding("doubtful", "Flicker along depth", text, "Neighbouring planes are translated differently. Go "
                          "through the coronal planes of darnet_report; train the translator longer.",
                          f"at most {number(FLICKER_RATIO * source, 2)}.")  # fmt: skip
        else:
            yield Finding("good", "Flicker along depth", text)
    source, translated, target = (facts.sharpness[kind] for kind in ("source", "translated", "target"))
    if not all(map(math.isfinite, (source, translated, target))):
        return
    text = (f"From pixel to pixel translated volumes change by {number(translated, 2)} standard deviations of their "
            f"intensities, source volumes by {number(source, 2)}, target scans by {number(target, 2)}.")  # fmt: skip
    least = BLUR_RATIO * min(source, target)
    if translated < least and source_share >= MADE_UP_BY and translated >= WORST_BLUR * least:
        yield Finding("good", "Sharpness of translated volumes", f"{text} They are blurred; the plan makes up for it: "
                      f"{percent(source_share)} of the patches show source volumes as they are.")  # fmt: skip
    elif translated < least:
        yield Finding("doubtful", "Translated volumes are blurred", text, "Borders of organs may be lost. Train the "
                      "translator longer (translation.iterations), or take more patches of source volumes as they are "
                      "(segmentation.source_share).", f"at least {number(least, 2)}.")  # fmt: skip
    else:
        yield Finding("good", "Sharpness of translated volumes", text)


def check_content(recovered: Recovered) -> Iterator[Finding]:
    """Whether labels can still be told from translated volumes as from their source."""
    title = "Content of translated volumes"
    known = {name: value for name, value in recovered.source.items() if value >= LEAST_TOLD}
    if not known:
        return
    lost, expected = [], []
    level: Level = "doubtful"
    for name, value in known.items():
        found = [style.get(name, 0.5) for style in recovered.styles]
        kept = [(own - 0.5) / (value - 0.5) for own in found]
        if min(kept) < LITTLE_KEPT:
            worst = int(np.argmin(kept))
            level = "bad" if min(kept) < LEAST_KEPT else level
            least = percent(0.5 + LITTLE_KEPT * (value - 0.5))
            lost.append(f"{name.replace('_', ' ')} {percent(value)} → {percent(found[worst])} in style {worst + 1}")
            expected.append(f"{name.replace('_', ' ')} at least {least}")
    others = [name.replace("_", " ") for name in recovered.source if name not in known]
    rest = f" It is too simple to judge {several(others)}, whatever the labels are like." if others else ""
    if lost:
        yield Finding(level, title,
                      f"A quick probe tells these classes from what surrounds them less well after translation than "
                      f"before: {several(lost)} (100 % always, 50 % by guessing).{rest}",
                      "Labels may no longer fit. Look in synthetic/styles.png whether organs vanish or move: if so, "
                      "and if masks come out badly, train the translator longer, or crop both kinds of scan to the "
                      "same part of the body.",
                      f"{several(expected)}.")  # fmt: skip
    else:
        yield Finding("good", title, f"A quick probe tells {several([n.replace('_', ' ') for n in known])} from what "
                      f"surrounds them nearly as well as in source volumes.{rest}")  # fmt: skip


def check_styles(bank: StyleBank) -> Iterator[Finding]:
    """Whether target slices are of several styles, and styles of several scans."""
    members = [np.flatnonzero(bank.clusters == k) for k in range(bank.number_of_styles)]
    if len(members) < 2:
        yield Finding("good", "Clusters of styles", "One style is planned.")
        return
    shares = [len(own) / len(bank.clusters) for own in members]
    text = f"{len(shares)} clusters hold " + ", ".join(map(percent, shares)) + " of the target slices."
    if max(shares) > LARGEST_CLUSTER:
        yield Finding("doubtful", "Clusters of styles", text,
                      "Nearly all target slices count as one style, so the translated volumes hardly vary. Look for "
                      "odd slices that make up the small clusters (synthetic/style_space.png), or plan fewer styles.",
                      f"at most {percent(LARGEST_CLUSTER)} in one.")  # fmt: skip
    else:
        yield Finding("good", "Clusters of styles", text)
    scans = [{bank.cases[i] for i in own} for own in members]
    alone = {k: min(own) for k, own in enumerate(scans, 1) if len(own) == 1}
    single = [f"{case} (cluster {k})" for k, case in alone.items()]
    if single and max(map(len, scans)) >= MANY_SCANS:
        yield Finding("doubtful", "Styles of single scans",
                      f"A style of its own, which no other scan shares: {several(single)}.",
                      "Open these scans in a viewer. Take those of another kind or damaged out of "
                      "imagesTr_target, and plan and train again; else go on.",
                      "slices of several scans in each cluster.", tuple(alone.values()))  # fmt: skip
