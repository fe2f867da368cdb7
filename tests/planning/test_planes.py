from __future__ import annotations

import pytest

from darnet.planning import Fingerprint, mixed_planes

AXES = {"axial": ("S", "P", "L"), "coronal": ("P", "I", "L"), "sagittal": ("R", "I", "P")}


def domain(planes, isotropic=False):
    return {"body_axes": AXES[planes], "spacing": (1.0, 1.0, 1.0) if isotropic else (4.0, 1.0, 1.0)}


@pytest.mark.parametrize("planes", AXES)
def test_planes_of_one_direction_are_in_order(fingerprint_of, planes):
    assert mixed_planes(fingerprint_of(domain(planes), domain(planes))) == []


@pytest.mark.parametrize("planes", AXES)
def test_scans_of_equal_voxels_are_turned_to_the_others(fingerprint_of, planes):
    assert mixed_planes(fingerprint_of(domain("axial", isotropic=True), domain(planes))) == []
    assert mixed_planes(fingerprint_of(domain(planes), domain("axial", isotropic=True))) == []


@pytest.mark.parametrize(("source", "target"), [("axial", "sagittal"), ("coronal", "axial"), ("sagittal", "coronal")])
def test_planes_of_two_directions_are_told(fingerprint_of, source, target):
    (sentence,) = mixed_planes(fingerprint_of(domain(source), domain(target)))
    assert f"most source scans have {source} planes, most target scans {target} ones" in sentence


def test_single_scans_of_other_planes_are_named(case_fingerprint):
    cases = [case_fingerprint("source", f"s{n}") for n in range(3)]
    cases += [case_fingerprint("target", f"t{n}", **domain("coronal" if n == 1 else "axial")) for n in range(3)]
    (sentence,) = mixed_planes(Fingerprint(tuple(cases)))
    assert sentence.startswith("most target scans have axial planes, but not t1 (coronal): ")
