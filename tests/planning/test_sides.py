"""Names that tell the side of the body, in several languages."""

from __future__ import annotations

import pytest

from darnet.planning.sides import sided_names


@pytest.mark.parametrize(
    "names",
    [("left_kidney", "right_kidney"), ("KidneyL", "KidneyR"), ("LK", "RK"), ("rib_l1", "rib_r1"),
     ("kidneyleft", "kidneyright"), ("Niere_links", "Niere_rechts"),
     ("rein_gauche", "rein_droit"), ("riñon_izquierdo", "riñon_derecho"),
     ("rene_sinistro", "rene_destro"), ("rim_esquerdo", "rim_direito"), ("ren sinister", "ren dexter"),
     ("kidney_dx", "kidney_sin"), ("gland_li", "gland_re"), ("hemisphere_lh", "hemisphere_rh"), ("左肾", "右肾")],
)  # fmt: skip
def test_names_with_a_side(names):
    assert sided_names(["background", *names, "liver"]) == list(names)


@pytest.mark.parametrize(
    "names", [("L1", "L2"), ("bright_spot", "cleft"), ("li",), ("core", "re_entry"), ("spleen", "flew")]
)
def test_names_without_a_side(names):
    assert sided_names(["background", *names, "liver"]) == []
