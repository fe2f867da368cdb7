"""Health checks in plain words: what is good, what is doubtful, what to do.

No check reads a target label. Limits are rules of thumb: they say where to look, not whether masks may be used.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from darnet.health import Finding, Level
from darnet.layout import DOMAINS
from darnet.planning import Fingerprint
from darnet.plans import Plans
from darnet.report.chosen import Choice
from darnet.report.domains import DomainsSection
from darnet.report.predicted import PredictionsSection
from darnet.report.scored import ScoresSection
from darnet.report.trained import Run, TrainingSection
from darnet.report.translated import TranslationSection
from darnet.words import cross, dice_text, number, several

FEW_SCANS = 5
SPACING_RATIO = 2.0  # of the domains' median spacings along an axis
VIEW_RATIO = 1.5  # of their fields of view
LOW_DICE, POOR_DICE = 0.8, 0.6
EARLY = 0.2  # share of the iterations before which a loss says nothing yet
VOLUME_RATIO = 2.0  # of a predicted volume to the range of the source's


def check_health(
    plans: Plans | None,
    domains: DomainsSection,
    translation: TranslationSection,
    training: TrainingSection,
    predictions: PredictionsSection,
    scores: ScoresSection,
) -> tuple[Finding, ...]:
    """All checks that can be made with what is there, the worst first."""
    found: list[Finding] = []
    if domains.fingerprint is not None and plans is not None:
        found += _check_data(domains.fingerprint, plans)
    found += translation.findings
    for run in training.runs:
        found += _check_run(run, judged=run.baseline or training.speaks_for(run))
    for labels in training.pseudo_labels:
        title = f"Pseudo-labels, {labels.title[0].lower()}{labels.title[1:]}"
        if labels.missed:
            found.append(Finding(
                "bad", title,
                f"{several(labels.missed)} found in less than half as many target scans as in the source.",
                "The network does not know these classes in target scans. Look at the translation first; train the "
                "translator longer, then the segmentation again.",
            ))  # fmt: skip
        else:
            found.append(
                Finding("good", title, "Every class is found in target scans about as often as in the source.")
            )
    found += (_check_choice(choice) for choice in training.choices if len(choice.scores) > 1)
    found += (_check_shapes(choice) for choice in training.choices if choice.doubt is not None)
    if predictions.cases and domains.fingerprint is not None and plans is not None:
        found += _check_predictions(predictions, domains.fingerprint, plans)
    if scores.cases:
        found += _check_scores(scores)
    order = {"bad": 0, "doubtful": 1, "good": 2}
    return tuple(sorted(found, key=lambda finding: order[finding.level]))


def _check_data(fingerprint: Fingerprint, plans: Plans) -> Iterator[Finding]:
    fingerprint = fingerprint.turned(plans.preprocessing.through_plane)
    counts = {domain: len(fingerprint.of(domain)) for domain in DOMAINS}
    text = ", ".join(f"{counts[d]} {plans.domain(d).modality} scans ({d})" for d in DOMAINS)
    if min(counts.values()) < FEW_SCANS:
        yield Finding("doubtful", "Number of scans", f"{text}.", f"Add scans: with fewer than {FEW_SCANS} of a kind, "
                      "training sees too little of how patients differ.")  # fmt: skip
    else:
        yield Finding("good", "Number of scans", f"{text}.")
    if not all(counts.values()):
        return
    none = (np.inf, np.inf, np.inf)
    for attribute, title, limit, remedy, cut in (
        ("spacing", "Voxel sizes of the two domains", SPACING_RATIO,
         "All scans are resampled to one grid, so this works; but the coarser kind of scan limits what can be seen.",
         none),
        ("field_of_view", "Fields of view of the two domains", VIEW_RATIO,
         "Anatomy that only one kind of scan shows cannot be adapted. Cut longer scans to the region that both show.",
         plans.preprocessing.source_limits),
    ):  # fmt: skip
        whole, target = (np.array(fingerprint.median(domain, attribute)) for domain in DOMAINS)
        source = np.minimum(whole, cut)
        cropped = " cropped about the labels" if np.any(source < whole) else ""
        ratio = float(np.max(np.maximum(source / target, target / source)))
        kinds = plans.source.modality, plans.target.modality
        shown = [f"{kind} {cross(size.tolist())} mm" for kind, size in zip(kinds, (source, target), strict=True)]
        sizes = f"{shown[0]}{cropped}, {shown[1]} (medians)"
        if ratio > limit:
            yield Finding("doubtful", title, f"{sizes}: up to {number(ratio, 2)} times apart.", remedy)
        else:
            yield Finding("good", title, f"{sizes}: within {number(limit)} times of each other.")
    planes = {d: {case.body_axes[0] for case in fingerprint.of(d)} for d in DOMAINS}
    if len(planes["source"] | planes["target"]) > 1:
        yield Finding("doubtful", "Direction of the planes", "Scans were taken in planes of different directions.",
                      "The translator works plane by plane and learns best where all planes lie alike.")  # fmt: skip


def _check_run(run: Run, judged: bool) -> Iterator[Finding]:
    """Whether it went to its end; its Dice is judged where prediction or a comparison takes the network."""
    if run.running and run.done < run.planned:
        yield Finding("good", run.title, f"{run.done} of {run.planned} iterations are done; it is running now.")
    elif run.other_plan:
        yield Finding("doubtful", run.title,
                      f"{run.done} of {run.planned} iterations are done, with another plan than the present one.",
                      "This page tells of the present plan. Put back the one that lies beside the weights, or move "
                      "their folder away and train again.")  # fmt: skip
    elif run.planned and run.done < run.planned:
        yield Finding("doubtful", run.title, f"{run.done} of {run.planned} iterations are done.",
                      f"If it is not running now, go on with {run.go_on or 'the command that began it'}.")  # fmt: skip
    if run.skipped:
        yield Finding("doubtful", run.title, f"{run.skipped} iterations were skipped, as their loss was not finite.",
                      "Look for scans with odd intensities, or lower the learning rate in plans.json.")  # fmt: skip
    begun = run.done >= EARLY * run.planned
    if begun and run.first == run.first and run.last >= run.first and run.stage != "self_training":
        yield Finding("bad", run.title, f"The loss did not fall: {number(run.first)} at the start, {number(run.last)} "
                      "at the end (no unit).", "Lower the learning rate in plans.json, or train longer.")  # fmt: skip
    known = {name: value for name, value in run.dice.items() if judged and value is not None}
    low = {name: value for name, value in known.items() if value < LOW_DICE}
    if low:
        level: Level = "bad" if min(low.values()) < POOR_DICE else "doubtful"
        listed = several([f"{name.replace('_', ' ')} {dice_text(value)}" for name, value in low.items()])
        yield Finding(level, f"{run.title}: validation",
                      f"Dice on held-out source volumes is low: {listed} (1 perfect).",
                      "Look whether labels of these classes fit the scans, and train longer. A few held-out scans say "
                      "little: if masks of target scans look right, go on.", f"at least {LOW_DICE:.1f}.")  # fmt: skip
    elif known:
        yield Finding("good", f"{run.title}: validation",
                      f"Dice on held-out source volumes is {dice_text(min(known.values()))} or more for every class (1 "
                      "is perfect).")  # fmt: skip


def _check_choice(choice: Choice) -> Finding:
    """Whether prediction takes the round that did best."""
    title = f"Rounds of self-training, {choice.title}"
    scores = "; ".join(f"{name}: {dice_text(score)}" for name, score in choice.scores.items())
    found = f"Compared on target scans without their labels (1 is best): {scores}."
    if choice.used == choice.chosen:
        return Finding("good", title, f"{found} The one that prediction takes, {choice.used}, is the best.")
    return Finding(
        "doubtful", title, f"{found} Prediction takes the last one, {choice.used}; better was: {choice.chosen}.",
        "Predict with darnet_predict --chosen too, and compare the masks.",
    )  # fmt: skip


def _check_shapes(choice: Choice) -> Finding:
    """That the network which prediction takes finds classes in other shapes than those of the source labels."""
    found = (choice.doubt or "").removeprefix("doubtful: ")
    return Finding("doubtful", f"Shapes of what is found, {choice.title}", found[:1].upper() + found[1:],
                   "Look at the masks of all scans before you use any.")  # fmt: skip


def _check_predictions(predictions: PredictionsSection, fingerprint: Fingerprint, plans: Plans) -> Iterator[Finding]:
    """Predicted volumes against the range of the labelled source scans."""
    absent: list[str] = []
    odd: list[str] = []
    near: list[str] = []
    for name in plans.foreground:
        own = [c.class_ml[name] for c in fingerprint.of("source") if c.class_ml.get(name, 0) > 0]
        for case in predictions.cases:
            volume = case.volumes_ml[name]
            text = f"{name.replace('_', ' ')} in {case.case_id}"
            if volume == 0:
                absent.append(text)
            elif own and not min(own) <= volume <= max(own):
                within = min(own) / VOLUME_RATIO <= volume <= max(own) * VOLUME_RATIO
                beyond = f"{text}, {number(volume)} ml (source {number(min(own))} to {number(max(own))} ml)"
                (near if within else odd).append(beyond)
    if absent:
        yield Finding("doubtful", "Classes that were not found", f"{several(absent)}.",
                      "Look at these scans: do they show the class?")  # fmt: skip
    if odd:
        yield Finding("doubtful", "Odd volumes", f"{several(odd)}.", "Look at these scans below before you trust them.")
    if not absent and not odd:
        size = (f"no volume more than {number(VOLUME_RATIO)} times beyond those of source scans. Beyond them, by less: "
                f"{several(near)}." if near else "with a volume within those of source scans.")  # fmt: skip
        yield Finding("good", "Predicted volumes", f"Every class is found in every scan shown, {size}")


def _check_scores(scores: ScoresSection) -> Iterator[Finding]:
    if scores.changed:
        yield Finding("doubtful", "Evaluation", f"Changed since they were scored: {several(list(scores.changed))}.",
                      "The scores on this page are of what they were before. Run darnet_evaluate again.")  # fmt: skip
    missing = [case.case_id for case in scores.cases if case.missing]
    if missing:
        yield Finding("bad", "Cases without a prediction", f"{several(missing)}: counted as predicted empty.",
                      "Run darnet_predict on these scans, and darnet_evaluate again.")  # fmt: skip
    if scores.failures:
        yield Finding("doubtful", "Classes missed or made up",
                      f"{scores.failures} times a class is in the prediction or the reference alone.",
                      "Their distance is infinite. Look at the worst cases below.")  # fmt: skip
    low = {name: value for name, value in scores.class_dice.items() if value < LOW_DICE}
    listed = several([f"{name.replace('_', ' ')} {dice_text(value)}" for name, value in low.items()])
    single = [(value, name, case.case_id) for case in scores.cases for name, value in case.classes.items()
              if value is not None and value == value]  # fmt: skip
    lowest = ""
    if single:
        value, name, case_id = min(single)
        lowest = f" The lowest of one scan is {dice_text(value)}: {name.replace('_', ' ')} in {case_id}."
    if low:
        level: Level = "bad" if min(low.values()) < POOR_DICE else "doubtful"
        yield Finding(level, "Dice against the reference",
                      f"Low on target scans: {listed} (mean, 1 is perfect).{lowest}",
                      "Look at the worst cases, then at the translation of what goes wrong there.")  # fmt: skip
    else:
        yield Finding("good", "Dice against the reference",
                      f"{LOW_DICE} or more for every class on target scans (mean, 1 is perfect).{lowest}")  # fmt: skip
