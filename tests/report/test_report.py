"""The report as a file: what it says, what it leaves out, what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
import pytest

from darnet.cli.report import main
from darnet.io import only_one, sha256_of
from darnet.layout import DatasetLayout, fold_lock
from darnet.report.domains import gather_domains

NAME = "Dataset007_Small"
# Links within the page, pictures within the page, and the names of SVG's own language.
REMOTE = re.compile(r"""(?:src|href|url\(|@import|fetch\()\s*[=(]?\s*["']?(?!#|data:)[a-z]+:?//""", re.IGNORECASE)


@pytest.fixture
def command(tmp_path):
    def run(*flags, dataset="7"):
        return main([str(flag) for flag in ("-d", dataset, "--root", tmp_path / "root", *flags)])

    return run


class Outline(HTMLParser):
    """Which elements are open, and what pictures, ids and links there are."""

    VOID = {"meta", "link", "img", "input", "br", "path", "rect", "circle", "polyline"}

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.images, self.ids, self.targets, self.charts = [], [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(values)
        if tag == "svg":
            self.charts.append(values)
        if "id" in values:
            self.ids.append(values["id"])
        self.targets += [values[key] for key in ("for", "aria-controls", "aria-labelledby") if key in values]
        if values.get("href", "").startswith("#"):
            self.targets.append(values["href"][1:])

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_whole_report(whole_run, command, capsys):
    assert command() == 0
    said = capsys.readouterr().out
    path = whole_run.results / "report.html"
    assert str(path) in said
    text = path.read_text("utf-8")
    outline = Outline(text)
    assert not outline.wrong
    assert not outline.open
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.targets) <= set(outline.ids)
    assert not REMOTE.search(text)
    assert len(outline.images) > 100
    for image in outline.images:
        assert image["src"].startswith("data:image/png;base64,")
        assert image["alt"] or image["class"] == "overlay"
    assert len(outline.charts) >= 8
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in outline.charts)


WORDS = (
    "3 × 1 × 1 mm",  # the planned grid
    "the medians of both",  # a reason of the plan
    "8 × 16 × 16 voxels",  # a patch
    "divided by 1 × 2 × 2",
    "MR 4 × 1 × 1 mm (medians)",
    "real MR",
    "cluster 2",
    "1000 of 1000",  # iterations
    "0.550",  # validation Dice of the rod
    "✓ good",
    "1 of 2",  # the rod's failures
    "∞ mm",
    "0.425",  # Dice of the worst case, (0.85 + 0) / 2
    "Which round did best, fold 0: before self-training",
    "darnet_predict takes: round 1. With --chosen it takes:",
)


def test_what_the_report_says(whole_run, command):
    assert command("--quiet") == 0
    text = (whole_run.results / "report.html").read_text("utf-8")
    assert [words for words in WORDS if words not in text] == []
    table = text[text.index('id="case-scores"') :]
    assert table.index("t2</a>") < table.index("t1</a>")
    articles = re.findall(r'<article id="case-\d+">\s*<h3>(\w+)</h3>', text)
    assert articles == ["t2", "t1"]  # the worst first


def test_faults_are_found(whole_run, command, capsys):
    assert command() == 0
    said = capsys.readouterr().out
    assert "bad: Pseudo-labels, round 1, fold 0. rod found in less than half" in said
    assert "bad: Segmentation, fold 0: validation. Dice on held-out source volumes is low: rod 0.550" in said
    assert "doubtful: Rounds of self-training, fold 0. Compared on target scans" in said
    assert "before self-training: 0.850; round 1: 0.750. Prediction takes the last one, round 1" in said
    assert "doubtful: Classes that were not found. rod in t2." in said
    assert "doubtful: Classes missed or made up. 1 times" in said


def test_the_chosen_round_is_taken_as_the_plan_beside_the_weights_says(whole_run, command, capsys):
    values = json.loads(whole_run.plans.read_text())
    values["self_training"]["choose"] = True
    (whole_run.results / "plans.json").write_text(json.dumps(values))
    assert command() == 0
    assert "Rounds of self-training" not in capsys.readouterr().out
    text = (whole_run.results / "report.html").read_text("utf-8")
    assert "The one that prediction takes, before self-training, is the best." in text
    assert "With --chosen" not in text


def test_criteria_that_do_not_apply(whole_run, command):
    path = whole_run.results / "choice.json"
    values = json.loads(path.read_text())
    values["folds"]["0"]["candidates"]["round_1"]["agreement"] = None
    path.write_text(json.dumps(values))
    assert command("--quiet") == 0
    assert "<td>–</td>" in (whole_run.results / "report.html").read_text("utf-8")


def test_shapes_unlike_those_of_the_source_labels_are_told(whole_run, command, capsys):
    checkpoint = whole_run.self_training(0, 1) / "checkpoint.safetensors"
    checkpoint.write_bytes(b"weights")
    path = whole_run.results / "choice.json"
    values = json.loads(path.read_text())
    of_fold = values["folds"]["0"]
    of_fold["usual"] = {"cube": 0.9, "rod": 0.9}
    for candidate in of_fold["candidates"].values():
        candidate["shapes"] = {"cube": 0.88, "rod": 0.31}
    of_fold["candidates"]["round_1"]["checkpoint"] = sha256_of(checkpoint)
    path.write_text(json.dumps(values))
    assert command() == 0
    said = capsys.readouterr().out
    assert "doubtful: Shapes of what is found, fold 0. What fold 0 found in 2 target training scans is little" in said
    assert "rod 0.31" in said and "cube 0.88" not in said


def write_places(layout, used=True, explained=0.46, **classes):
    """What places told in fold 0."""
    values = {"used": used, "explained": explained, "classes": {"cube": None, "rod": None} | classes}
    path = layout.segmentation(0) / "expected.json"
    path.write_text(json.dumps(values))
    return path


def test_what_places_told(whole_run, command):
    write_places(whole_run, cube=[0.621, 0.734, 0.818])
    assert command("--quiet") == 0
    text = (whole_run.results / "report.html").read_text("utf-8")
    assert "expected to show each class, fold 0</h3>" in text
    assert "explains 46 % of how brightness differs" in text
    assert re.search(r"cube.*?73 %.*?62 % … 82 %.*?rod.*?not told", text, re.S)


@pytest.mark.parametrize(
    ("explained", "words"),
    [(0.07, "explains 7 %"), (-0.1, "explains 0 %"), (0.297, "explains 29 %"), (None, "too little")],
)
def test_places_that_tell_too_little(whole_run, command, explained, words):
    write_places(whole_run, False, explained)
    assert command("--quiet") == 0
    text = (whole_run.results / "report.html").read_text("utf-8")
    assert words in text and "no patch is shown as target scans are expected to look" in text
    assert "quartiles" not in text


@pytest.mark.parametrize(
    "content", ["[]", '{"used": true}', '{"used": true, "explained": 1, "classes": {"cube": [1]}}']
)
def test_what_places_told_in_another_form(whole_run, command, capsys, content):
    path = write_places(whole_run)
    path.write_text(content)
    assert command("--quiet") != 0
    assert str(path) in capsys.readouterr().err


def test_reference_labels_are_not_read(whole_run, command):
    labels = whole_run.raw / "labelsTs"
    labels.mkdir()
    (labels / "t1.nii.gz").write_bytes(b"not a scan: reading it would fail")
    assert command("--quiet") == 0


def copy_masks(layout, folder):
    folder.mkdir()
    for path in (layout.results / "predictions").glob("*.nii.gz"):
        shutil.copy(path, folder)


def test_reference_labels_stand_beside_the_predicted_ones(whole_run, command):
    references = whole_run.root / "references"
    copy_masks(whole_run, references)
    (references / "t2.nii.gz").unlink()
    assert command("--quiet") == 0
    before = (whole_run.results / "report.html").read_text("utf-8")
    assert "With -r FOLDER, darnet_report shows the\n  reference labels beside them." in before
    assert "reference</th>" not in before
    assert command("--quiet", "-r", references) == 0
    text = (whole_run.results / "report.html").read_text("utf-8")
    assert "Colours are what the network found; reference labels stand beside them." in text
    assert "and of its reference in brackets" in text
    assert re.search(r"<td>([\d.]+) ml \(\1 ml\)</td>", text)  # the mask is its own reference
    assert '<p class="title">t1, predicted</p>' in text
    assert '<p class="title">t1, reference</p>' in text
    assert "t2, reference" not in text
    assert "With -r FOLDER" not in text
    table = text[text.index('id="case-scores"') :]
    assert 'alt="t1, reference with its labels: axial plane' in table


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "t1.nii.gz").rename(folder / "other.nii.gz"), "no reference has the name"),
        (lambda folder: (folder / "t1.nii.gz").write_bytes(b"no scan"), "t1.nii.gz"),
        (lambda folder: write_labels(folder / "t1.nii.gz", change_values), "a reference has values that the plan"),
        (lambda folder: write_labels(folder / "t1.nii.gz", change_grid), "prediction and reference lie on different"),
    ],
)
def test_references_that_do_not_fit(whole_run, command, capsys, spoil, words):
    references = whole_run.root / "references"
    copy_masks(whole_run, references)
    (references / "t2.nii.gz").unlink()
    spoil(references)
    assert command("-r", references) == 3
    said = capsys.readouterr().err
    assert words in said
    assert "-r" in said or "t1.nii.gz" in said


def write_labels(path, change):
    image = nib.load(path)
    array, affine = change(np.asanyarray(image.dataobj).copy(), image.affine.copy())
    nib.save(nib.Nifti1Image(array, affine), path)


def change_values(array, affine):
    array[0, 0, 0] = 9
    return array, affine


def change_grid(array, affine):
    affine[0, 3] += 5
    return array, affine


def test_references_without_predictions_or_beside_others(whole_run, command, capsys):
    references = whole_run.root / "references"
    copy_masks(whole_run, references)
    undo(whole_run, "prediction")
    assert command("-r", references) == 2
    assert "there are no predictions to show reference labels with" in capsys.readouterr().err


def test_a_training_that_runs_is_no_doubt(whole_run, command, capsys):
    log = whole_run.segmentation(0) / "log.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows[: len(rows) // 2]))
    assert command() == 0
    assert "iterations are done" in capsys.readouterr().out
    with only_one(fold_lock(whole_run.results, 0), "trains fold 0"):
        assert command() == 0
    assert "iterations are done" not in capsys.readouterr().out
    assert "it is running now" in (whole_run.results / "report.html").read_text("utf-8")


def test_a_scan_that_a_check_names_is_shown(whole_run, make_small_plans):
    plans = make_small_plans()
    names = [f"more_{n}" for n in range(9)]
    for name in names:
        for path in whole_run.cases("target").glob("t1*"):
            shutil.copy(path, path.with_name(path.name.replace("t1", name)))
    shown = gather_domains(whole_run, plans).montages["axial"]["target"]
    assert "more_1" not in [picture.caption for picture in shown]
    shown = gather_domains(whole_run, plans, {"more_1", "gone"}).montages["axial"]["target"]
    assert "more_1" in [picture.caption for picture in shown]
    assert len(shown) == 7


def test_names_are_escaped(whole_run, command):
    """A folder, a case or a modality is only text."""
    values = json.loads(whole_run.plans.read_text())
    values["target"]["modality"] = "<script>alert(1)</script>"
    whole_run.plans.write_text(json.dumps(values))
    assert command("--quiet") == 0
    text = (whole_run.results / "report.html").read_text("utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


SENTENCES = {
    "planning": "Nothing is planned yet",
    "preprocessing": "There are no preprocessed scans to show yet",
    "translation": "The translator has not been trained yet",
    "synthesis": "There are no translated volumes yet",
    "segmentation": "The segmentation network has not been trained yet",
    "self_training": "Self-training has not been done yet",
    "prediction": "No predictions were found",
    "evaluation": "Nothing has been evaluated yet",
}


def undo(layout, stage):
    """Take away what a stage and all after it leave behind."""
    folders = {
        "planning": [layout.plans, layout.fingerprint],
        "preprocessing": [layout.cases("source"), layout.cases("target")],
        "translation": [layout.translation],
        "synthesis": [layout.synthetic],
        "segmentation": [layout.results / "segmentation"],
        "self_training": [layout.results / "self_training", layout.preprocessed / "pseudo_labels"],
        "prediction": [layout.results / "predictions"],
        "evaluation": [layout.results / "predictions" / "summary.json"],
    }
    for later in list(folders)[list(folders).index(stage) :]:
        for path in folders[later]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


@pytest.mark.parametrize("stage", SENTENCES)
def test_what_is_not_there_yet_is_said(whole_run, command, stage):
    undo(whole_run, stage)
    assert command("--quiet") == 0
    text = (whole_run.results / "report.html").read_text("utf-8")
    order = list(SENTENCES)
    for other in order:
        later = order.index(other) >= order.index(stage)
        # Whether self-training is planned is not known without a plan.
        if other != "self_training" or stage != "planning":
            assert (SENTENCES[other] in text) == later, other


def test_a_model_that_was_trained_elsewhere(whole_run, command):
    undo(whole_run, "translation")
    path = whole_run.segmentation(0) / "checkpoint.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert command("--quiet") == 0
    text = (whole_run.results / "report.html").read_text("utf-8")
    assert "There are networks without a log: the model was trained elsewhere" in text
    for stage in ("segmentation", "self_training"):
        assert SENTENCES[stage] not in text


def test_a_loss_that_is_known_once_has_not_failed_to_fall(whole_run, command):
    log = whole_run.segmentation(0) / "log.jsonl"
    (line, *_) = [json.loads(line) for line in log.read_text().splitlines() if '"loss"' in line]
    for lines, falls in (([line], True), ([line, line], False)):
        log.write_text("".join(json.dumps(one | {"iteration": 10**6 + n}) + "\n" for n, one in enumerate(lines)))
        assert command("--quiet") == 0
        text = (whole_run.results / "report.html").read_text("utf-8")
        assert ("The loss did not fall" in text) != falls


def test_raw_data_alone(tmp_path, write_raw_dataset, command):
    write_raw_dataset(tmp_path / "root")
    assert command() == 0
    assert (
        "Nothing is planned yet" in DatasetLayout(tmp_path / "root", NAME).results.joinpath("report.html").read_text()
    )


def test_predictions_of_another_folder(whole_run, command, tmp_path):
    elsewhere = tmp_path / "masks"
    (whole_run.results / "predictions").rename(elsewhere)
    scans = tmp_path / "empty"
    scans.mkdir()
    flags = ("-o", tmp_path / "r.html", "-p", elsewhere, "-i", scans)
    assert command(*flags, "-e", elsewhere / "summary.json") == 0
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "Some scans were not found" in text
    assert "2 of 2 segmented scans of the folder “masks”" in text


def test_masks_of_a_network_that_was_not_trained_to_its_end(whole_run, command):
    path = whole_run.results / "predictions" / "prediction.json"
    record = json.loads(path.read_text())
    finished = {"0": {"done": 1000, "planned": 1000}}
    for iterations, said in ((finished, False), (finished | {"1": {"done": 300, "planned": 1000}}, True)):
        path.write_text(json.dumps(record | {"iterations": iterations}))
        assert command("--quiet") == 0
        text = (whole_run.results / "report.html").read_text("utf-8")
        assert ("(fold 1, 300 of 1000 iterations)" in text) == said
        assert ("Train on with darnet_train 7 1 --continue, if it is not running now" in text) == said


def test_a_training_that_has_stopped(whole_run, command):
    log = whole_run.segmentation(0) / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:50]))
    assert command("--quiet") == 0
    text = (whole_run.results / "report.html").read_text("utf-8")
    assert "If it is not running now, go on with darnet_train 7 0 --continue." in text


def break_plan(layout):
    layout.plans.write_text("{")


def break_fingerprint(layout):
    layout.fingerprint.write_text('{"cases": [{"case_id": "a"}]}')


def break_store(layout):
    path = layout.cases("target") / "t2_image.b2nd"
    path.write_bytes(path.read_bytes()[:-50])


def break_bank(layout):
    (layout.synthetic / "style_bank.json").write_text('{"codes": [1, 2]}')


def break_mask(layout):
    path = layout.results / "predictions" / "t1.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])


def swap_masks(layout):
    import nibabel as nib

    path = layout.results / "predictions" / "t1.nii.gz"
    mask = nib.load(path)
    affine = mask.affine.copy()
    affine[0, 3] += 5
    nib.Nifti1Image(mask.get_fdata().astype("uint8"), affine).to_filename(path)


def rename_labels(layout):
    path = layout.results / "predictions" / "prediction.json"
    path.write_text(json.dumps({"labels": {"background": 0, "rod": 1, "cube": 2}}))


def break_record(layout):
    path = layout.results / "predictions" / "prediction.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"iterations": {"0": 5}}))


def break_summary(layout):
    (layout.results / "predictions" / "summary.json").write_text('{"cases": []}')


def break_choice(layout):
    (layout.results / "choice.json").write_text('{"folds": {"0": {"chosen": "round_1", "candidates": {}}}}')


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (break_choice, 2, "the choice of rounds has another form"),
        (break_plan, 2, "the file is not valid JSON"),
        (break_fingerprint, 2, "the fingerprint has other keys"),
        (break_store, 3, "t2_image.b2nd"),
        (break_bank, 2, "the style bank has another form"),
        (break_mask, 3, "t1.nii.gz"),
        (swap_masks, 3, "prediction and scan lie on different grids"),
        (rename_labels, 2, "the predictions have other labels than the plan"),
        (break_record, 2, "the record of a prediction has another form"),
        (break_summary, 2, "no summary of darnet_evaluate"),
    ],
)
def test_damaged_files_are_named(whole_run, command, capsys, spoil, code, words):
    spoil(whole_run)
    assert command() == code
    said = capsys.readouterr().err
    assert words in said
    assert "remedy" in said
    assert not (whole_run.results / "report.html").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-o", "report.txt"), "not an HTML file"),
        (("-p", "nowhere"), "there is no such folder"),
        (("-i", "nowhere"), "there is no such folder"),
        (("-r", "nowhere"), "there is no such folder"),
        (("-e", "nowhere.json"), "there is no such file"),
        (("--unknown",), "unrecognized"),
    ],
)
def test_wrong_flags(small_run, command, capsys, flags, words):
    assert command(*flags) == 2
    assert words in capsys.readouterr().err


def test_no_such_data_set(command, capsys):
    assert command(dataset="8") == 2
    assert "there is no data set 8" in capsys.readouterr().err


def test_other_files_are_not_replaced(small_run, command, tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("<h1>mine</h1>")
    assert command("-o", page) == 2
    assert "no report" in capsys.readouterr().err
    assert page.read_text() == "<h1>mine</h1>"


def test_an_earlier_report_is_replaced_and_the_same(small_run, command, tmp_path):
    page = tmp_path / "page.html"
    assert command("-o", page, "--quiet") == 0
    first = page.read_bytes()
    assert command("-o", page, "--quiet") == 0
    assert page.read_bytes() == first


def test_how_many_scans_are_segmented_at_once_is_told(small_run, command):
    path = small_run.results / "report.html"
    assert command("--quiet") == 0
    assert "scans at once" not in path.read_text("utf-8")
    values = json.loads(small_run.plans.read_text())
    small_run.plans.write_text(json.dumps(values | {"most_scans": 7}))
    assert command("--quiet") == 0
    assert "at most 7 scans at once" in path.read_text("utf-8")
