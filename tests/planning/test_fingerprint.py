from __future__ import annotations

import dataclasses
import json

import nibabel as nib
import numpy as np
import pytest

from darnet.errors import DataError, raise_together
from darnet.imaging import body_axes, determine_orientation, spacing_of, to_canonical
from darnet.io import DatasetInfo
from darnet.planning import CaseFiles, VerifiedDataset, fingerprint_case, hash_of_files, survey_cases

CLASSES = {"background": 0, "cube": 1, "rod": 2}
AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


def save(path, array, affine=AFFINE):
    nib.Nifti1Image(array, affine).to_filename(path)


@pytest.fixture
def files(tmp_path, small_scan):
    """Write a case and give its files."""

    def write(case_id="a", domain="source", seed=0, change=None, affine=AFFINE, labels_affine=None):
        image, labels = small_scan(seed)
        if change is not None:
            change(image, labels)
        paths = tmp_path / f"{case_id}_0000.nii.gz", tmp_path / f"{case_id}.nii.gz"
        save(paths[0], image, affine)
        save(paths[1], labels, affine if labels_affine is None else labels_affine)
        return CaseFiles(case_id, domain, paths[0], paths[1] if domain == "source" else None)

    return write


def dataset_of(source, target=()):
    info = DatasetInfo("Small", CLASSES, "CT", "MR", ".nii.gz", {"0": "CT"})
    return VerifiedDataset(info, tuple(source), tuple(target), ())


def test_labelled_case(files):
    case = fingerprint_case(files(), CLASSES)
    assert case.shape == (8, 14, 16)  # (D, H, W)
    assert case.spacing == (5.0, 2.0, 2.0)
    assert case.body_axes == ("S", "P", "L")
    assert case.field_of_view == (40.0, 28.0, 32.0)
    assert case.body_extent == (30.0, 20.0, 24.0)
    assert case.percentiles[0] >= 20  # the body alone, no air
    assert case.class_ml == pytest.approx({"cube": 4 * 4 * 3 * 0.02, "rod": 3 * 2 * 4 * 0.02})
    assert case.class_largest == {"cube": 1.0, "rod": 1.0}
    assert case.label_extent == (4 * 5.0, 4 * 2.0, 8 * 2.0)
    assert case.labelled_percentiles[0] >= 120
    assert case.notes == ()


def test_padding_about_a_scan_is_not_body(files):
    def zeros(image, labels):
        np.maximum(image, 0, out=image)
        image[:, :2] = 0

    def padded(image, labels):
        zeros(image, labels)
        image[:, :2] = -1000

    expected, found, of_ct = (
        fingerprint_case(dataclasses.replace(files(change=change), modality=modality), CLASSES)
        for change, modality in ((zeros, "MR"), (padded, "MR"), (padded, "CT"))
    )
    assert found.body_extent == expected.body_extent
    assert found.percentiles == expected.percentiles
    assert of_ct.percentiles != expected.percentiles  # -1000 is air there, and 0 water


def test_target_case_knows_nothing_of_labels(files):
    case = fingerprint_case(files(domain="target"), CLASSES)
    assert (case.class_ml, case.class_largest, case.labelled_percentiles) == ({}, {}, ())
    assert case.label_extent == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("through_plane", ["S", "A", "R"])
@pytest.mark.parametrize("spacing", [(1.0, 1.25, 1.0), (1.0, 1.0, 3.0)])
def test_a_turned_case_is_as_it_will_be_preprocessed(files, spacing, through_plane):
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    written = files(affine=affine)
    case = fingerprint_case(written, CLASSES).turned(through_plane)
    orientation = determine_orientation(affine, through_plane)
    labels = to_canonical(np.asarray(nib.load(written.labels).dataobj), orientation)
    assert case.shape == labels.shape
    assert case.spacing == spacing_of(affine, orientation)
    assert case.body_axes == body_axes(affine, orientation)
    assert case.has_planes == (spacing[2] == 3.0)
    places = np.argwhere(labels)
    assert case.label_extent == pytest.approx((np.ptp(places, axis=0) + 1) * case.spacing)
    assert case.field_of_view == pytest.approx(np.multiply(case.shape, case.spacing))


def test_share_of_the_largest_component(files):
    def split(image, labels):
        labels[labels == 1] = 0
        labels[3:5, 3, 3] = 1
        labels[10:13, 10, 3] = 1
        labels[10:13, 10, 4] = 1

    assert fingerprint_case(files(change=split), CLASSES).class_largest["cube"] == pytest.approx(0.75)


def test_centres_are_in_mm_of_the_body(files):
    case_files = files()
    image = nib.load(case_files.labels)
    labels = np.asarray(image.dataobj)
    centres = fingerprint_case(case_files, CLASSES).class_centre
    assert set(centres) == {"cube", "rod"}
    for name, centre in centres.items():
        at = np.argwhere(labels == CLASSES[name])
        assert centre == pytest.approx(nib.affines.apply_affine(image.affine, at).mean(axis=0))


def test_absent_class_and_empty_labels(files):
    def clear(image, labels):
        labels[...] = 0

    case = fingerprint_case(files(change=clear), CLASSES)
    assert case.class_ml == {"cube": 0.0, "rod": 0.0}
    assert case.class_largest == case.class_centre == {}
    assert case.label_extent == (0.0, 0.0, 0.0)
    assert case.notes == ("a: its labels show background only",)


def test_notes_of_the_header_name_the_case(tmp_path, small_scan):
    image = nib.Nifti1Image(small_scan(0)[0], AFFINE)
    image.header["qform_code"] = image.header["sform_code"] = 0
    image.header["pixdim"][1:4] = 2, 2, 5
    path = tmp_path / "x_0000.nii"
    path.write_bytes(image.to_bytes())
    raw = bytearray(path.read_bytes())
    raw[252:256] = bytes(4)  # the codes of qform and sform
    path.write_bytes(raw)
    (note,) = fingerprint_case(CaseFiles("x", "target", path, None), CLASSES).notes
    assert note.startswith("x: the header has neither sform nor qform")


@pytest.mark.parametrize(("shift", "refused"), [(0.05, False), (0.15, False), (0.5, True), (10.0, True)])
def test_tolerance_between_the_grids_of_scan_and_labels(files, shift, refused):
    affine = AFFINE.copy()
    affine[1, 3] = shift
    case = files(labels_affine=affine)
    if refused:
        with pytest.raises(DataError, match="different grids"):
            fingerprint_case(case, CLASSES)
    else:
        fingerprint_case(case, CLASSES)


def test_a_slight_turn_shows_at_the_corners(files):
    affine = AFFINE.copy()
    angle = np.deg2rad(2)
    affine[:2, :2] = 2 * np.array([[-np.cos(angle), np.sin(angle)], [-np.sin(angle), -np.cos(angle)]])
    with pytest.raises(DataError, match="different grids"):
        fingerprint_case(files(labels_affine=affine), CLASSES)


def test_hash_tells_of_scan_and_labels(files):
    def paint(image, labels):
        labels[0, 0, 0] = 1

    first, second = hash_of_files(files("a")), hash_of_files(files("b", change=paint))
    assert first[:32] == second[:32]
    assert first[32:] != second[32:]
    assert hash_of_files(files("c", seed=1))[:32] != first[:32]


def fingerprint_of(dataset):
    fingerprint, faults = survey_cases(dataset.cases, dataset.info.labels)
    raise_together(faults, "some cases cannot be used")
    return fingerprint


def test_whole_data_set(files):
    dataset = dataset_of([files("b", seed=1), files("a", seed=0)], [files("t", "target", seed=2)])
    fingerprint = fingerprint_of(dataset)
    assert [(case.domain, case.case_id) for case in fingerprint.cases] == [
        ("source", "a"),
        ("source", "b"),
        ("target", "t"),
    ]
    assert fingerprint.median("source", "spacing") == (5.0, 2.0, 2.0)
    assert [case.case_id for case in fingerprint.of("target")] == ["t"]
    values = json.loads(json.dumps(fingerprint.to_json(), allow_nan=False))
    assert values["cases"][0]["class_ml"]["cube"] == pytest.approx(0.96)


def test_median_is_taken_axis_by_axis(case_fingerprint):
    from darnet.planning import Fingerprint

    spacings = [(1.0, 9.0, 2.0), (3.0, 1.0, 2.0), (2.0, 4.0, 5.0)]
    cases = tuple(case_fingerprint(case_id=str(n), spacing=s) for n, s in enumerate(spacings))
    assert Fingerprint(cases).median("source", "spacing") == (2.0, 4.0, 2.0)


def test_class_in_no_case_is_refused(files):
    def no_rod(image, labels):
        labels[labels == 2] = 0

    with pytest.raises(DataError, match="no case shows the class rod"):
        fingerprint_of(dataset_of([files("a", seed=0, change=no_rod), files("b", seed=1, change=no_rod)]))
    # One case with it is enough.
    assert fingerprint_of(dataset_of([files("a", seed=0, change=no_rod), files("b", seed=1)]))


def test_equal_scans_are_refused(files):
    with pytest.raises(DataError, match="two cases are the same scan") as caught:
        fingerprint_of(dataset_of([files("a", seed=0), files("b", seed=1)], [files("t", "target", seed=1)]))
    assert "source b and target t" in str(caught.value)


def test_all_unknown_labels_are_listed(files):
    def unknown(image, labels):
        labels[0, 0, :3] = 5
        labels[0, 1, 0] = 200

    with pytest.raises(DataError) as caught:
        fingerprint_of(dataset_of([files("a", seed=0, change=unknown), files("b", seed=1, change=unknown)]))
    message = str(caught.value)
    assert "2 faults" in message
    assert "5 (3 voxels), 200 (1 voxels)" in message
    assert "a.nii.gz" in message
    assert "b.nii.gz" in message
