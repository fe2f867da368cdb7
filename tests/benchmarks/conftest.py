from __future__ import annotations

import pytest

from darnet.io import write_json
from darnet.layout import DatasetLayout


@pytest.fixture
def small_layout(tmp_path, make_small_plans):
    """A data set with a plan, number 7, and no cases yet."""
    layout = DatasetLayout(tmp_path, "Dataset007_Small")
    for file, values in ((layout.dataset_json, {}), (layout.plans, make_small_plans().to_json())):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, values)
    return layout
