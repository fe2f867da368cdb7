"""Every snippet of the documentation is run, on tiny phantoms."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from darnet.demo import write_demo_dataset
from darnet.demo.dataset import Protocol
from darnet.io import read_dataset_json, write_json
from darnet.layout import DatasetLayout
from darnet.pipeline import verify
from darnet.plans import IntensityPlan, Plans

SOURCE = Protocol("CT", (16, 40, 40), (10.0, 8.0, 8.0), "LPS")
TARGET = Protocol("MR", (14, 40, 40), (12.0, 8.0, 8.0), "ARI")
NAME = "Dataset101_Abdomen"
PLANS = Path("darnet_data", "preprocessed", NAME, "plans.json")
REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(str(p.relative_to(REPOSITORY)) for p in [*REPOSITORY.glob("docs/**/*.md"), REPOSITORY / "README.md"])
RUN = (
    "README.md",
    "docs/tutorial.md",
    "docs/how-to/nnunet.md",
    "docs/how-to/public-data.md",
    "docs/how-to/dicom.md",
    "docs/how-to/intensities.md",
    "docs/how-to/resume.md",
    "docs/how-to/slurm.md",
    "docs/how-to/report.md",
    "docs/how-to/experiments.md",
    "docs/how-to/share.md",
    "docs/how-to/when-adaptation-fails.md",
    "docs/reference/files.md",
    "docs/reference/python.md",
)


def shrink(line):
    """Make the plan so small that training takes seconds, each time that it was made."""
    if not line.startswith("darnet_plan_and_preprocess") or "--keep_plan" in line:
        return
    plans = Plans.read(PLANS)
    small = dataclasses.replace(
        plans,
        translation=dataclasses.replace(
            plans.translation, width=4, iterations=2, batch_size=2, discriminator_width=4, residual_blocks=1
        ),
        synthesis=dataclasses.replace(plans.synthesis, number_of_styles=2),
        segmentation=dataclasses.replace(plans.segmentation, channels=(8, 8, 8, 8, 8), iterations=2),
        self_training=dataclasses.replace(plans.self_training, iterations=1),
    )
    write_json(PLANS, small.to_json())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folders that the tutorial starts from."""
    folder = tmp_path_factory.mktemp("tutorial")
    raw = folder / "phantoms"
    write_demo_dataset(raw, 1, 3, 2, 1, source=SOURCE, target=TARGET)
    places = {"imagesTr": "ct", "labelsTr": "ct_labels", "imagesTr_target": "mr"}
    for old, new in places.items():
        (folder / new).mkdir()
        for path in (raw / old).iterdir():
            shutil.copy(path, folder / new / path.name.replace("_0000", ""))
    for old, new, name in (("imagesTs", "mr_new", "volunteer_07_0000"), ("labelsTs", "mr_new_labels", "volunteer_07")):
        (folder / new).mkdir()
        shutil.copy(next((raw / old).iterdir()), folder / new / f"{name}.nii.gz")
    shutil.rmtree(raw)
    return folder


@pytest.fixture(scope="module")
def tutorial(folder, snippets, run_script):
    """The folder after the tutorial, followed to the letter."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        for language, text in snippets("docs/tutorial.md"):
            if language == "json":
                (folder / "darnet_data" / "raw" / NAME / "dataset.json").write_text(text, "utf-8")
            elif language == "sh":
                run_script(text, shrink)
            else:
                assert language == "text"
    finally:
        os.chdir(before)
    return folder


def test_tutorial_goes_from_two_folders_to_masks(tutorial):
    mask, scan = (nib.load(tutorial / f) for f in ("masks/volunteer_07.nii.gz", "mr_new/volunteer_07_0000.nii.gz"))
    assert mask.shape == scan.shape
    np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-5)
    assert (tutorial / "masks" / "volunteer_07.png").is_file()
    assert len(json.loads((tutorial / "masks" / "summary.json").read_text("utf-8"))["cases"]) == 1
    results = tutorial / "darnet_data" / "results" / NAME
    for place in ("translation/previews", "segmentation/fold_0/progress.png"):
        assert (results / place).exists(), place


def test_files_that_pages_name_are_there(tutorial):
    """Paths below darnet_data that the tutorial names."""
    text = (REPOSITORY / "docs" / "tutorial.md").read_text("utf-8")
    named = re.findall(r"`(darnet_data/[^`]+)`", text)
    assert len(named) >= 3
    assert [name for name in named if not (tutorial / name).exists()] == []


@pytest.mark.parametrize("page", ["docs/how-to/resume.md", "docs/how-to/intensities.md"])
def test_after_the_tutorial(tutorial, snippets, run_script, monkeypatch, tmp_path, page):
    shutil.copytree(tutorial, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    if "resume" in page:
        # The plan that the tutorial made small would be made anew, so weights would be of another plan.
        lines = "\n".join(text for language, text in snippets(page) if language == "sh")
        run_script(lines.replace("darnet_plan_and_preprocess -d 101", "darnet_plan_and_preprocess -d 101 --keep_plan"))
        return
    parts = [json.loads(text) for language, text in snippets(page) if language == "json"]
    first, second = (text for language, text in snippets(page) if language == "sh")
    run_script(first)
    plans = Plans.read(PLANS)
    source, target = (
        dataclasses.replace(domain, intensity=IntensityPlan(**part))
        for domain, part in zip((plans.source, plans.target), parts, strict=True)
    )
    write_json(PLANS, dataclasses.replace(plans, source=source, target=target).to_json())
    run_script(second)
    assert Plans.read(PLANS).source.intensity.high == 1000


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("docs/how-to/report.md", f"darnet_data/results/{NAME}/report.html"),
        ("docs/how-to/share.md", "masks_elsewhere/volunteer_07.nii.gz"),
    ],
)
def test_report_and_sharing(tutorial, snippets, run_script, monkeypatch, tmp_path, page, made):
    shutil.copytree(tutorial, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    Path(made).unlink(missing_ok=True)
    for language, text in snippets(page):
        assert language == "sh"
        run_script(text)
    assert Path(made).is_file()


def test_baselines(tutorial, snippets, run_script, monkeypatch, tmp_path):
    shutil.copytree(tutorial, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    for language, text in snippets("docs/how-to/when-adaptation-fails.md"):
        assert language == "sh"
        run_script(text)
    for name in ("no_adaptation", "no_translation"):
        assert list(Path("darnet_data", "results", NAME, name).glob("segmentation/fold_0/checkpoint*"))


def test_dicom(tutorial, snippets, run_script, monkeypatch, tmp_path, write_dicom, capsys):
    shutil.copytree(tutorial, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    scan = nib.as_closest_canonical(nib.load("mr_new/volunteer_07_0000.nii.gz"))
    Path("series").mkdir()
    for k, pixels in enumerate(np.moveaxis(scan.get_fdata().astype(np.int16), 2, 0)):
        place = nib.affines.apply_affine(scan.affine, (0, 0, k)) * [-1, -1, 1]
        spacing = scan.header.get_zooms()[1::-1]
        tags = {"g0020_0052": (b"UI", b"1.2.3.8")}
        write_dicom(Path("series", f"{k}.dcm"), pixels.T, place, (-1, 0, 0), (0, -1, 0), spacing, **tags)
    for language, text in snippets("docs/how-to/dicom.md"):
        if language == "sh":
            run_script(text)
        else:
            assert language == "python"
            exec(compile(text, "dicom.md", "exec"), {})
    assert "1 liver" in capsys.readouterr().out
    mask = np.asanyarray(nib.load("masks_seg/series.nii.gz").dataobj)
    assert mask.shape == scan.shape


def test_experiments(tutorial, snippets, run_script, monkeypatch, tmp_path):
    shutil.copytree(tutorial, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    raw = tmp_path / "copy" / "darnet_data" / "raw" / NAME
    for old, new in (("mr_new", "imagesTs"), ("mr_new_labels", "labelsTs")):
        shutil.copytree(old, raw / new)
    for number in (1, 2):  # source scans stand in for labelled target scans
        for old, new, ending in (("imagesTr", "more_mr", "_0000"), ("labelsTr", "more_mr_labels", "")):
            Path(new).mkdir(exist_ok=True)
            shutil.copy(sorted((raw / old).iterdir())[number], Path(new, f"volunteer_{number}{ending}.nii.gz"))
    for language, text in snippets("docs/how-to/experiments.md"):
        assert language == "sh"
        run_script(text)
    table = Path("darnet_data", "results", NAME, "experiment", "table_fold_0.md").read_text("utf-8")
    assert "| default | 2 |" in table
    assert "| supervised | 1 |" in table


@pytest.mark.filterwarnings("ignore:doubtful")  # the networks of two iterations find nothing
@pytest.mark.parametrize("page", ["docs/reference/python.md", "README.md"])
def test_python(tutorial, snippets, monkeypatch, page, capsys):
    monkeypatch.chdir(tutorial)
    blocks = [text for language, text in snippets(page) if language == "python"]
    assert len(blocks) >= 3
    for text in blocks:
        # The README names another data set and scan than the tutorial has.
        text = text.replace("Dataset101_AbdomenCT2MR", NAME).replace('"scan_0000', '"mr_new/volunteer_07_0000')
        exec(compile(text, page, "exec"), {})


@pytest.mark.parametrize("page", ["docs/reference/files.md", "README.md", "docs/tutorial.md"])
def test_dataset_json(snippets, tmp_path, page):
    found = [text for language, text in snippets(page) if language == "json"]
    assert len(found) == 1
    (tmp_path / "dataset.json").write_text(found[0], "utf-8")
    info = read_dataset_json(tmp_path / "dataset.json")
    assert (info.source_modality, info.target_modality[:2]) == ("CT", "MR")


def write(path, seed, values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    array = rng.integers(-500, 500, (6, 6, 4)) if values is None else rng.choice([0, *values], (6, 6, 4))
    nib.Nifti1Image(array.astype(np.int16), np.diag([-2.0, -2.0, 5.0, 1.0])).to_filename(path)


def write_nnunet(folder, cases, *channels):
    for case in cases:
        seed = sum(map(ord, case))
        for number in range(len(channels)):
            write(folder / "imagesTr" / f"{case}_{number:04d}.nii.gz", seed + number)
        write(folder / "labelsTr" / f"{case}.nii.gz", seed, (1, 2, 3))
    labels = {"background": 0, "spleen": 1, "kidney": 2, "liver": 3}
    names = {str(number): channel for number, channel in enumerate(channels)}
    write_json(folder / "dataset.json", {"channel_names": names, "labels": labels, "file_ending": ".nii.gz"})


def test_nnunet(tmp_path, snippets, run_script, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "nnUNet_raw"
    write_nnunet(raw / "Dataset003_CT", ["ct_01", "ct_02"], "CT")
    write_nnunet(raw / "Dataset004_MR", ["mr_01", "mr_02", "mr_03"], "MR")
    write_nnunet(raw / "Dataset005_Both", ["both_001", "both_002", "both_051", "both_052"], "any")
    write_nnunet(raw / "Dataset043_BraTS", ["p_001", "p_002", "p_301", "p_302"], "FLAIR", "T1", "T1ce", "T2")
    for language, text in snippets("docs/how-to/nnunet.md"):
        assert language == "sh"
        run_script(text)
    for name in ("Dataset101_CT2MR", "Dataset102_CT2MR", "Dataset103_CT2MR"):
        dataset, _ = verify(DatasetLayout(tmp_path / "darnet_data", name))
        assert (dataset.info.source_modality, dataset.info.target_modality) == ("CT", "MR")
    dataset, _ = verify(DatasetLayout(tmp_path / "darnet_data", "Dataset104_T1ce2T2"))
    assert (dataset.info.source_modality, dataset.info.target_modality) == ("T1ce", "T2")


def test_public_data(tmp_path, snippets, run_script, monkeypatch, write_dicom):
    monkeypatch.chdir(tmp_path)
    for n in (1, 2):
        write(tmp_path / "RawData" / "Training" / "img" / f"img000{n}.nii.gz", n)
        write(tmp_path / "RawData" / "Training" / "label" / f"label000{n}.nii.gz", n, range(1, 14))
        write(tmp_path / "crossMoDA" / "source_training" / f"crossmoda_{n}_ceT1.nii.gz", n)
        write(tmp_path / "crossMoDA" / "source_training" / f"crossmoda_{n}_Label.nii.gz", n, (1, 2))
        write(tmp_path / "crossMoDA" / "target_training" / f"crossmoda_{n + 105}_hrT2.nii.gz", n + 5)
    for n in (1001, 1003, 1007, 1008, 1009, 1014, 1018, 1019):
        for seed, modality in enumerate(("ct", "mr")):
            case = tmp_path / "MM-WHS" / f"{modality}_train" / f"{modality}_train_{n}"
            write(case.with_name(f"{case.name}_image.nii.gz"), n + 100 * seed)
            write(case.with_name(f"{case.name}_label.nii.gz"), n, (205, 420, 500, 550, 600, 820, 850))
    for patient in (1, 2, 3, 13, 32, 38):
        series = tmp_path / "Train_Sets" / "MR" / str(patient) / "T2SPIR"
        (series / "DICOM_anon").mkdir(parents=True)
        (series / "Ground").mkdir()
        pixels = np.random.default_rng(patient).integers(0, 500, (3, 6, 6)).astype(np.int16)
        for k in range(3):
            write_dicom(series / "DICOM_anon" / f"IMG-{k}.dcm", pixels[k], (0, 0, 5.0 * k))
            mask = np.array([0, 63, 126, 189, 252], np.uint8)[pixels[k] % 5]
            sitk.WriteImage(sitk.GetImageFromArray(mask), str(series / "Ground" / f"IMG-{k}.png"))
    for language, text in snippets("docs/how-to/public-data.md"):
        if language == "sh":
            run_script(text)
        else:
            assert language == "text"
    names = {"Dataset101_AbdomenCT2MR": (2, 2), "Dataset102_AbdomenMR2CT": (6, 2), "Dataset103_crossMoDA": (2, 2)}
    names |= {"Dataset104_HeartCT2MR": (8, 4), "Dataset105_HeartMR2CT": (8, 4)}
    for name, counts in names.items():
        dataset, _ = verify(DatasetLayout(tmp_path / "darnet_data", name))
        assert (len(dataset.source), len(dataset.target)) == counts


@pytest.mark.parametrize("trained", [False, True])
def test_slurm(tmp_path, snippets, parse, trained):
    """The script is run by bash; what it calls is a stand-in that writes down its arguments."""
    ((language, text),) = snippets("docs/how-to/slurm.md")
    assert language == "bash"
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "darnet_train"
    stand_in.write_text('#!/bin/sh\necho "darnet_train $*" > called.txt\n')
    stand_in.chmod(0o755)
    if trained:
        fold = tmp_path / "darnet_data" / "results" / NAME / "segmentation" / "fold_3"
        fold.mkdir(parents=True)
        (fold / "checkpoint.safetensors").touch()
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "3"}
    subprocess.run(["bash", "-eu", "-c", text], cwd=tmp_path, env=environment, check=True, timeout=60)
    args, _, _ = parse((tmp_path / "called.txt").read_text("utf-8"))
    assert (args.dataset, args.fold, args.resume) == ("101", "3", trained)


@pytest.mark.parametrize("page", PAGES)
def test_commands_within_the_text(page, knows):
    """Commands in running text and in blocks set in by four spaces have flags that there are."""
    text = (REPOSITORY / page).read_text("utf-8")
    lines = re.findall(r"`(darnet_\w+ [^`]*)`", text) + re.findall(r"^    (darnet_.*)$", text, re.MULTILINE)
    assert [line for line in lines if not knows(line.replace("...", ""))] == []


def test_a_wrong_flag_would_be_seen(knows):
    assert knows("darnet_train 101 0 --continue")
    assert not knows("darnet_train 101 0 --resume")
    assert not knows("darnet_trian 101 0")


def test_no_page_is_forgotten(snippets):
    with_code = {page for page in PAGES if any(language != "text" for language, _ in snippets(page))}
    assert with_code == set(RUN)
