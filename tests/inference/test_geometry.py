from __future__ import annotations

import tempfile
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter, minimum_filter

from darnet.imaging import determine_orientation, spacing_of
from darnet.inference import FolderOptions, Predictor, predict_folder
from darnet.preprocessing import preprocess_arrays

AIR, TISSUE, STEP = 0, 600, 100  # a voxel of label n within the body is TISSUE + n * STEP
GEOMETRY_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)
QUIET = FolderOptions(quiet=True)


def ignore(_: str) -> None:
    """Planes may lie in any direction here, which prediction tells."""


def oracle(windows):
    """Logits from intensities: the window 0 to 800 is [-1, 1], so labels 0, 1, 2 lie at 0.5, 0.75 and 1."""
    values = windows[:, 0]
    classes = (values > 0.625).long() + (values > 0.875).long()
    return 20.0 * torch.nn.functional.one_hot(classes, 3).movedim(-1, 1).float()


def rotation_of(quaternion):
    w, x, y, z = np.asarray(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def affine_of(axes, signs, spacing, rotation=None, origin=(0.0, 0.0, 0.0)):
    """Array axis n runs along body axis axes[n], before the rotation."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for n, (axis, sign, step) in enumerate(zip(axes, signs, spacing, strict=True)):
        affine[axis, n] = sign * step
    if rotation is not None:
        affine[:3, :3] = rotation @ affine[:3, :3]
    affine[:3, 3] = origin
    return affine


def blocky_case(rng, shape, block):
    """Labels of random blocks within a body off the centre, and the intensities that encode them."""
    coarse = rng.integers(0, 3, [-(-n // block) for n in shape])
    labels = coarse.repeat(block, 0).repeat(block, 1).repeat(block, 2)[: shape[0], : shape[1], : shape[2]]
    body = np.zeros(shape, bool)
    lows = [max(n // 6, int(n > 2)) for n in shape]  # air enough to tell it from the body
    starts = [int(rng.integers(low, max(n // 3, low) + 1)) for n, low in zip(shape, lows, strict=True)]
    stops = [n - int(rng.integers(0, n // 4 + 1)) for n in shape]
    body[tuple(slice(start, stop) for start, stop in zip(starts, stops, strict=True))] = True
    labels = np.where(body, labels, 0).astype(np.uint8)
    return labels, np.where(body, TISSUE + STEP * labels.astype(np.int16), AIR).astype(np.int16)


def save_scan(path, image, affine, sform_code=1, qform_code=1):
    header = nib.Nifti1Header()
    header.set_data_dtype(image.dtype)
    header.set_data_shape(image.shape)
    header.set_xyzt_units("mm")
    header.set_qform(affine, qform_code)
    header.set_sform(affine, sform_code)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    # Written as it is: nibabel would choose the codes of an image itself.
    path.write_bytes(header.binaryblock + bytes(4) + image.tobytes(order="F"))


def predict_file(image, affine, plans, codes=(1, 1)):
    """From file to file; gives the written labels and both headers."""
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "case_0000.nii"
        save_scan(scan, image, affine, *codes)
        (written,) = predict_folder(
            scan, Path(folder) / "out", Predictor(plans, [oracle], notice=ignore), QUIET, notice=lambda _: None
        )
        result = nib.load(written)
        return np.asanyarray(result.dataobj), result.header, nib.load(scan).header, result.affine


def plan_for(make_small_plans, affine, patch=(8, 8, 8), factors=(1.0, 1.0, 1.0)):
    spacing = spacing_of(affine, determine_orientation(affine))
    return make_small_plans(tuple(s * f for s, f in zip(spacing, factors, strict=True)), patch, batch_size=8)


spacings = st.tuples(*[st.floats(0.4, 6.0)] * 3)
quaternions = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)
oblique_affines = st.builds(
    affine_of,
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from((-1, 1))] * 3),
    spacings,
    st.one_of(st.none(), st.builds(rotation_of, quaternions)),
    st.tuples(*[st.floats(-300, 300)] * 3),
)
codes = st.sampled_from([(1, 1), (2, 1), (0, 1), (1, 0), (4, 3)])


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    affine=oblique_affines,
    shape=st.tuples(*[st.integers(5, 17)] * 3),
    form_codes=codes,
    seed=st.integers(0, 1000),
)
def test_result_lies_on_the_grid_of_the_input(make_small_plans, affine, shape, form_codes, seed):
    labels, image = blocky_case(np.random.default_rng(seed), shape, 3)
    found, header, expected, result_affine = predict_file(image, affine, plan_for(make_small_plans, affine), form_codes)
    assert found.shape == shape
    np.testing.assert_array_equal(found, labels)
    for field in GEOMETRY_FIELDS:
        np.testing.assert_array_equal(header[field], expected[field], err_msg=field)
    np.testing.assert_array_equal(header["pixdim"][:4], expected["pixdim"][:4])
    np.testing.assert_allclose(result_affine, affine, atol=1e-3)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_every_axis_order_and_flip(make_small_plans, axes):
    for signs in product((-1, 1), repeat=3):
        affine = affine_of(axes, signs, (1.0, 1.1, 3.0))
        labels, image = blocky_case(np.random.default_rng(3), (9, 11, 7), 3)
        found, *_ = predict_file(image, affine, plan_for(make_small_plans, affine))
        np.testing.assert_array_equal(found, labels, err_msg=f"axes {axes}, signs {signs}")


@settings(max_examples=14, deadline=None, derandomize=True, database=None)
@given(
    affine=oblique_affines, factors=st.tuples(*[st.floats(0.5, 1.3)] * 3), seed=st.sampled_from((1, 2, 5, 7, 11, 12))
)
def test_resampling_keeps_blocks_in_place(make_small_plans, affine, factors, seed):
    labels, image = blocky_case(np.random.default_rng(seed), (24, 30, 18), 9)
    found, *_ = predict_file(image, affine, plan_for(make_small_plans, affine, (16, 16, 16), factors))
    inside = minimum_filter(image, 5) == maximum_filter(image, 5)  # two voxels or more from any border
    assert np.count_nonzero(inside & (labels > 0)) > 50
    np.testing.assert_array_equal(found[inside], labels[inside])
    # A shift by one voxel would go far beyond what borders between blocks differ by.
    assert np.mean(found != labels) < 0.12


@pytest.mark.parametrize("shape", [(5, 6, 7), (12, 10, 1), (1, 9, 12), (3, 3, 3), (40, 6, 5)])
def test_volumes_smaller_than_the_patch(make_small_plans, shape):
    affine = affine_of((0, 1, 2), (-1, -1, 1), (1.0, 1.0, 1.2), origin=(12.0, -7.5, 3.0))
    labels, image = blocky_case(np.random.default_rng(1), shape, 2)
    labels[0, 0, 0], image[0, 0, 0] = 0, AIR
    found, header, expected, _ = predict_file(image, affine, plan_for(make_small_plans, affine, (16, 32, 32)))
    assert found.shape == shape
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_array_equal(header["srow_x"], expected["srow_x"])


def test_the_crop_is_undone(make_small_plans):
    # The body fills little of the scan: the crop is real, and off the centre on each axis.
    image, labels = np.zeros((30, 40, 20), np.int16), np.zeros((30, 40, 20), np.uint8)
    image[18:27, 3:13, 9:15] = TISSUE
    labels[20:24, 5:9, 10:13] = 2
    image += 2 * STEP * (labels == 2)
    affine = affine_of((1, 2, 0), (1, -1, 1), (1.0, 1.0, 4.0))
    plans = plan_for(make_small_plans, affine)
    case = preprocess_arrays(image.astype(np.float32), affine, plans, "target")
    assert case.image[0].size < image.size / 3
    found, *_ = predict_file(image, affine, plans)
    np.testing.assert_array_equal(found, labels)


def test_compressed_files_in_a_folder(make_small_plans, tmp_path):
    affine = affine_of((0, 1, 2), (-1, 1, 1), (1.0, 1.0, 3.0))
    expected = {}
    (tmp_path / "in").mkdir()
    for seed in range(3):
        expected[f"c{seed}"], image = blocky_case(np.random.default_rng(seed), (9, 12 + seed, 6), 3)
        nib.Nifti1Image(image, affine).to_filename(tmp_path / "in" / f"c{seed}_0000.nii.gz")
    predictor = Predictor(plan_for(make_small_plans, affine), [oracle], notice=ignore)
    paths = predict_folder(tmp_path / "in", tmp_path / "out", predictor, QUIET, notice=lambda _: None)
    assert [p.name for p in paths] == ["c0.nii.gz", "c1.nii.gz", "c2.nii.gz"]
    for path in paths:
        np.testing.assert_array_equal(np.asanyarray(nib.load(path).dataobj), expected[path.name[:2]])


def test_probabilities_agree_with_labels(make_small_plans, tmp_path):
    affine = affine_of((2, 0, 1), (-1, 1, -1), (1.0, 1.5, 1.0))
    labels, image = blocky_case(np.random.default_rng(5), (10, 8, 12), 4)
    save_scan(tmp_path / "x.nii", image, affine)
    options = FolderOptions(save_probabilities=True, preview=True, quiet=True)
    predictor = Predictor(plan_for(make_small_plans, affine), [oracle], notice=ignore)
    predict_folder(tmp_path / "x.nii", tmp_path / "out", predictor, options, notice=lambda _: None)
    with np.load(tmp_path / "out" / "x.npz") as file:
        probabilities = file["probabilities"]
    assert probabilities.shape == (3, *labels.shape)
    np.testing.assert_array_equal(probabilities.argmax(0), labels)
    assert (tmp_path / "out" / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_arrays_come_back_as_they_were_given(make_small_plans):
    labels, image = blocky_case(np.random.default_rng(2), (7, 11, 13), 3)
    plans = make_small_plans((3.0, 1.0, 1.0), (8, 8, 8))
    np.testing.assert_array_equal(
        Predictor(plans, [oracle], notice=ignore).predict(image, spacing=(3.0, 1.0, 1.0)), labels
    )
