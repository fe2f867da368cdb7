from __future__ import annotations

import dataclasses

import nibabel as nib
import numpy as np
import pytest

from darnet.errors import DataError
from darnet.io import CaseStore
from darnet.layout import DatasetLayout
from darnet.planning import hash_of_files, verify_dataset
from darnet.preprocessing import case_hash, make_record, preprocess_arrays, preprocess_dataset, thin_classes
from darnet.preprocessing.dataset import LOCATIONS_A_CLASS, locate_classes
from darnet.training import plan_hash

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


@pytest.fixture
def layout(tmp_path, write_raw_dataset):
    write_raw_dataset(tmp_path)
    return DatasetLayout(tmp_path, "Dataset007_Small")


@pytest.fixture
def plans(make_small_plans):
    return make_small_plans((5.0, 2.0, 2.0), low=-200.0, high=300.0)


@pytest.fixture
def preprocess(layout, plans):
    def run(plans=plans, processes=1):
        return preprocess_dataset(verify_dataset(layout), layout, plans, processes)

    return run


def stamps(layout):
    """When each stored case was written."""
    return {
        (domain, case): (layout.cases(domain) / f"{case}.json").stat().st_mtime_ns
        for domain in ("source", "target")
        for case in CaseStore(layout.cases(domain)).case_ids()
    }


def repaint(path):
    image = nib.load(path)
    array = np.asanyarray(image.dataobj).copy()
    array[6, 6, 4] += 1
    nib.Nifti1Image(array, image.affine).to_filename(path)


def test_stored_cases(layout, preprocess):
    assert preprocess() == (4, 0)
    source, target = CaseStore(layout.cases("source")), CaseStore(layout.cases("target"))
    assert (source.case_ids(), target.case_ids()) == (("s1", "s2"), ("t1", "t2"))
    record = source.record("s1")
    assert record.original_shape == (16, 14, 8)
    assert record.affine == tuple(map(tuple, AFFINE.tolist()))
    assert record.spacing == (5.0, 2.0, 2.0)
    assert record.body_axes == ("S", "P", "L")
    assert record.cropped_shape == tuple(stop - start for start, stop in record.crop_box)
    image, labels = source.image("s1"), source.labels("s1")
    assert image.shape == (1, *record.shape)
    assert labels.shape == record.shape
    # The planned grid is the scan's own: what is stored is what was drawn.
    assert record.class_voxels == {"cube": 48, "rod": 24}
    for name, value in (("cube", 1), ("rod", 2)):
        points = record.class_locations[name]
        assert len(points) == record.class_voxels[name]
        assert all(labels[tuple(point)] == value for point in points)
    # Intensities tell the classes apart: body 20 to 40, cube 100 more, rod 200 more.
    assert image[0][labels == 1].min() > image[0][labels == 0].max()
    assert image[0][labels == 2].min() > image[0][labels == 1].max()
    assert not target.record("t1").has_labels


@pytest.mark.parametrize(("ml", "told"), [(0.0, []), (0.96, []), (1.8, []), (3.84, ["cube keeps 25%"])])
def test_classes_thinner_than_voxels_are_told(layout, preprocess, plans, fingerprint_of, ml, told):
    preprocess()  # the cube has 48 voxels of 20 mm3: 0.96 ml
    fingerprint = fingerprint_of({"class_ml": {"cube": ml, "rod": 0.48}})
    files = verify_dataset(layout).source
    cases = tuple(
        dataclasses.replace(case, case_id=own.case_id, content_hash=hash_of_files(own))
        for case, own in zip(fingerprint.of("source"), files, strict=False)
    )
    assert [case.case_id for case in cases] == ["s1", "s2"]
    store = CaseStore(layout.cases("source"))
    sentences = thin_classes(store, dataclasses.replace(fingerprint, cases=cases), plans)
    assert [sentence.split(" of its volume")[0] for sentence in sentences] == told
    changed = tuple(dataclasses.replace(case, content_hash="of other files") for case in cases)
    assert thin_classes(store, dataclasses.replace(fingerprint, cases=changed), plans) == []


def test_second_run_makes_nothing(layout, preprocess, hashes_of_tree):
    preprocess()
    before, times = hashes_of_tree(layout.preprocessed), stamps(layout)
    assert preprocess() == (0, 4)
    assert hashes_of_tree(layout.preprocessed) == before
    assert stamps(layout) == times


@pytest.mark.parametrize(
    ("file", "case"),
    [
        ("imagesTr/s1_0000.nii.gz", ("source", "s1")),
        ("labelsTr/s2.nii.gz", ("source", "s2")),
        ("imagesTr_target/t1_0000.nii.gz", ("target", "t1")),
    ],
)
def test_changed_file_redoes_its_case_alone(layout, preprocess, file, case):
    preprocess()
    before = stamps(layout)
    repaint(layout.raw / file)
    assert preprocess() == (1, 3)
    after = stamps(layout)
    assert [key for key in after if after[key] != before[key]] == [case]


def test_untouched_content_is_not_redone(layout, preprocess):
    # Only the bytes count, not the time of the file.
    preprocess()
    for path in layout.raw.rglob("*.nii.gz"):
        path.write_bytes(path.read_bytes())
    assert preprocess() == (0, 4)


def changed(plans, part, **values):
    return dataclasses.replace(plans, **{part: dataclasses.replace(getattr(plans, part), **values)})


def test_changed_plan_redoes_all(preprocess, plans):
    preprocess()
    assert preprocess(changed(plans, "preprocessing", spacing=(5.0, 3.0, 3.0))) == (4, 0)


def test_changed_intensities_redo_their_domain(preprocess, plans):
    preprocess()
    target = dataclasses.replace(plans.target, intensity=dataclasses.replace(plans.target.intensity, high=400.0))
    assert preprocess(dataclasses.replace(plans, target=target)) == (2, 2)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("segmentation", {"iterations": 7}),
        ("translation", {"width": 8}),
        ("preprocessing", {"why": {"spacing": "another reason"}}),
    ],
)
def test_other_parts_of_the_plan_redo_nothing(preprocess, plans, part, values):
    preprocess()
    assert preprocess(changed(plans, part, **values)) == (0, 4)


def test_half_written_case_is_redone(layout, preprocess):
    preprocess()
    (layout.cases("source") / "s1_labels.b2nd").unlink()
    (layout.cases("target") / "t2.json").write_text("{")
    assert preprocess() == (2, 2)
    assert CaseStore(layout.cases("source")).labels("s1").max() == 2


def test_removed_case_is_dropped(layout, preprocess):
    preprocess()
    (layout.raw / "imagesTr_target/t2_0000.nii.gz").unlink()
    assert preprocess() == (0, 3)
    assert CaseStore(layout.cases("target")).case_ids() == ("t1",)
    assert not list(layout.cases("target").glob("t2*"))


def test_labels_beside_target_scans_are_never_read(layout, preprocess):
    folder = layout.raw / "labelsTr_target"
    folder.mkdir()
    (folder / "t1.nii.gz").write_bytes(b"not to be read")
    assert preprocess() == (4, 0)
    assert not CaseStore(layout.cases("target")).record("t1").has_labels


def test_faults_are_listed_and_the_other_cases_kept(layout, preprocess):
    for path in (layout.raw / "imagesTr/s1_0000.nii.gz", layout.raw / "imagesTr_target/t2_0000.nii.gz"):
        content = bytearray(path.read_bytes())
        content[-6] ^= 1
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        preprocess()
    assert "2 faults" in str(caught.value)
    assert "s1_0000.nii.gz" in str(caught.value)
    assert "t2_0000.nii.gz" in str(caught.value)
    assert CaseStore(layout.cases("source")).case_ids() == ("s2",)
    assert CaseStore(layout.cases("target")).case_ids() == ("t1",)


def test_faults_of_arrays_name_the_file(layout, plans, preprocess):
    # Found after reading: the planned grid would be far too large.
    with pytest.raises(DataError, match="too large on the planned grid") as caught:
        preprocess(changed(plans, "preprocessing", spacing=(0.01, 0.01, 0.01)))
    for name in ("s1_0000.nii.gz", "t2_0000.nii.gz"):
        assert name in str(caught.value)


def test_two_processes_give_the_same_bytes_as_one(layout, preprocess, hashes_of_tree, tmp_path):
    preprocess(processes=1)
    alone = hashes_of_tree(layout.preprocessed)
    layout.preprocessed.rename(tmp_path / "alone")
    assert preprocess(processes=2) == (4, 0)
    assert hashes_of_tree(layout.preprocessed) == alone


def test_hash_of_a_case(layout, plans):
    dataset = verify_dataset(layout)
    hashes = [case_hash(files, plans) for files in dataset.cases]
    assert len(set(hashes)) == 4
    assert hashes == [case_hash(files, plans) for files in dataset.cases]
    renamed = dataclasses.replace(plans, labels={"background": 0, "cube": 2, "rod": 1})
    assert case_hash(dataset.source[0], renamed) != hashes[0]
    # What its name tells of a scan changes how it is cropped.
    mr, unknown = (
        dataclasses.replace(plans, target=dataclasses.replace(plans.target, modality=modality, intensity=percentiles))
        for percentiles in (dataclasses.replace(plans.target.intensity, rule="percentile", low=1.0, high=99.0),)
        for modality in ("MR T2", "unknown")
    )
    target = dataset.target[0]
    assert case_hash(target, mr) != case_hash(target, unknown)
    assert plan_hash(mr) != plan_hash(unknown)
    assert case_hash(dataset.source[0], mr) == case_hash(dataset.source[0], unknown)
    shorter = dataclasses.replace(plans, preprocessing=dataclasses.replace(plans.preprocessing, source_depth=50.0))
    assert [case_hash(files, shorter) == own for files, own in zip(dataset.cases, hashes, strict=True)] == [
        files.domain == "target" for files in dataset.cases
    ]


def test_locations_are_limited_and_the_same_each_time():
    labels = np.zeros((4, 30, 30), np.uint8)
    labels[1:3, 2:28, 2:28] = 1
    classes = {"organ": 1, "absent": 2}
    voxels, locations = locate_classes(labels, classes)
    assert voxels == {"organ": 2 * 26 * 26, "absent": 0}
    assert len(locations["organ"]) == LOCATIONS_A_CLASS
    assert locations["absent"] == []
    assert len({tuple(p) for p in locations["organ"]}) == LOCATIONS_A_CLASS
    assert all(labels[tuple(p)] == 1 for p in locations["organ"])
    assert {p[0] for p in locations["organ"]} == {1, 2}
    assert locate_classes(labels, classes)[1] == locations
    assert locate_classes(None, classes) == ({}, {})


@pytest.mark.parametrize("columns", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_the_stored_grid_knows_directions_and_distances(make_small_plans, columns, degrees):
    """Two cubes are as far apart, and in the same direction, by the stored grid as by the file's own affine."""
    turn, cosine, sine = np.eye(3), np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    affine = np.eye(4)
    affine[:3, :3] = (turn @ np.diag([-1.5, 2.0, 4.0]))[:, columns]
    affine[:3, 3] = 17.0, -40.0, 9.0
    shape = tuple((40, 36, 20)[axis] for axis in columns)
    image, labels = np.full(shape, -1000.0, np.float32), np.zeros(shape, np.uint8)
    image[3:-3, 3:-3, 3:-3] = 50.0
    image[4:8, 4:8, 4:8] = 150.0
    labels[4:8, 4:8, 4:8] = 1
    labels[10:14, 12:16, 11:15] = 2
    plans = make_small_plans((2.0, 1.0, 0.75))
    case = preprocess_arrays(image, affine, plans, "source", labels)
    stored = make_record("a", "hash", shape, affine, case, plans).stored_affine

    def apart(volume, to_mm):
        centres = [to_mm[:3, :3] @ np.argwhere(volume == n).mean(axis=0) for n in (1, 2)]
        return centres[1] - centres[0]

    np.testing.assert_allclose(apart(case.labels, stored), apart(labels, affine), atol=1e-6)
    np.testing.assert_allclose(stored @ [*((np.array(case.labels.shape) - 1) / 2), 1], [0, 0, 0, 1], atol=1e-9)
