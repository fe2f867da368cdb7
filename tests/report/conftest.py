"""A small run made by hand, and a real browser driven through chromedriver's own HTTP protocol."""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


class Browser:
    """Headless Chromium. Only what the tests need of the WebDriver protocol."""

    def __init__(self, driver: str, chromium: str, profile: Path, dark: bool = False):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.base = f"http://127.0.0.1:{port}"
        try:
            self._wait()
            arguments = [*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,1000"]
            if dark:
                arguments.append("--blink-settings=preferredColorScheme=0")
            options = {"binary": chromium, "args": arguments}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            self.base += (
                "/session/" + self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            )
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _wait(self):
        for _ in range(300):
            try:
                if self._ask("GET", "/status")["ready"]:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise TimeoutError("chromedriver does not answer")

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None

    def open(self, path):
        self._ask("POST", "/url", {"url": Path(path).absolute().as_uri()})

    def js(self, script, *args):
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(args)})

    def click(self, selector):
        self._ask("POST", f"/element/{self._find(selector)}/click", {})

    def press(self, selector, *keys):
        self._ask("POST", f"/element/{self._find(selector)}/value", {"text": "".join(keys)})

    def _find(self, selector):
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return next(iter(found.values()))

    def devtools(self, command, **parameters):
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def errors(self):
        """What the console says; a page of a report says nothing."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path, width=1280, whole=True):
        """A picture of the page, down to its end."""
        size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1}
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=whole, **({"clip": clip} if whole else {}))
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def print_to_pdf(self, path):
        Path(path).write_bytes(base64.b64decode(self.devtools("Page.printToPDF", printBackground=True)["data"]))

    def close(self):
        try:
            self._ask("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait()


@pytest.fixture(scope="session")
def start_browser():
    """Start a browser in an empty profile folder."""
    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")

    def start(profile, dark=False):
        return Browser(driver, chromium, profile, dark)

    return start


def _record(case_id, has_labels, shape=(6, 10, 12), classes=(60, 40)):
    from darnet.io import CaseRecord

    affine = ((-2.0, 0.0, 0.0, 0.0), (0.0, -2.0, 0.0, 0.0), (0.0, 0.0, 5.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    box = tuple((0, n) for n in shape)
    voxels = dict(zip(("cube", "rod"), classes, strict=True)) if has_labels else {}
    return CaseRecord(
        case_id, "hash", shape[::-1], affine, (2, 1, 0), (False, False, False), (3.0, 1.0, 1.0), box, shape, shape,
        ("S", "P", "L"), has_labels, voxels, {name: [] for name in voxels},
    )  # fmt: skip


def _image(rng, shape=(6, 10, 12), bright=0.5):
    """A grey body in black air with a bright cube and rod, (1, D, H, W), and their labels."""
    labels = np.zeros(shape, np.uint8)
    labels[1:4, 2:5, 2:6], labels[2:5, 6:8, 7:10] = 1, 2
    image = np.full(shape, -1.0, np.float32)
    image[1:-1, 1:-1, 1:-1] = -0.3 + 0.1 * rng.standard_normal(image[1:-1, 1:-1, 1:-1].shape)
    image[labels > 0] += bright
    return np.clip(image, -1, 1)[None], labels


def _fill_run(root, plans, case_fingerprint, write_raw_dataset):
    """Everything that a finished run leaves behind, as far as a report reads it; no network is trained."""
    from darnet.io import CaseStore, write_json
    from darnet.layout import DatasetLayout
    from darnet.planning import Fingerprint
    from darnet.synthesis import variant_name
    from darnet.synthesis.styles import StyleBank
    from darnet.training.pictures import draw_grid

    layout = DatasetLayout(root, plans.dataset)
    write_raw_dataset(root)
    rng = np.random.default_rng(0)
    ids = {"source": [f"s{n}" for n in range(5)], "target": [f"t{n}" for n in range(5)]}
    volumes = {"cube": 4.0, "rod": 2.0}
    cases = [
        case_fingerprint(domain, case, **({"class_ml": volumes, "class_largest": {}} if domain == "source" else {}))
        for domain in ids
        for case in ids[domain]
    ]
    layout.preprocessed.mkdir(parents=True)
    write_json(layout.fingerprint, Fingerprint(tuple(cases)).to_json())
    write_json(layout.plans, plans.to_json())
    stores = {domain: CaseStore(layout.cases(domain)) for domain in ids}
    synthetic = CaseStore(layout.synthetic)
    pseudo = CaseStore(layout.pseudo_labels(0, 1))
    for case in ids["source"]:
        image, labels = _image(rng)
        stores["source"].write(_record(case, True), image, labels)
        for style in range(plans.synthesis.number_of_styles):
            name = variant_name(case, style)
            synthetic.write(_record(name, False), np.clip(image * -0.7 + 0.1 * style, -1, 1), None)
    for case in ids["target"]:
        image, labels = _image(rng, bright=-0.3)
        stores["target"].write(_record(case, False), image, None)
        pseudo.write(_record(case, True, classes=(60, 0)), image, np.where(labels == 2, 0, labels).astype(np.uint8))
    clusters = np.arange(20) % plans.synthesis.number_of_styles
    codes = clusters[:, None] + 0.1 * rng.standard_normal((20, plans.translation.style_dim))
    slices = tuple(ids["target"][n // 4] for n in range(20))
    medoids = np.arange(plans.synthesis.number_of_styles)
    write_json(
        layout.synthetic / "style_bank.json", StyleBank(codes, clusters, medoids, slices, tuple(range(20))).to_json()
    )
    (layout.translation / "previews").mkdir(parents=True)
    for iteration in (500, 1000):
        rows = [[image[0, 3]] * 2]
        draw_grid(rows, ("input", "translation"), layout.translation / "previews" / f"{iteration:06d}.png")
    _write_log(layout.translation, "translation", ("generator", "discriminator", "image", "content", "style", "cycle"))
    _write_log(layout.segmentation(0), "segmentation", ("loss",))
    _write_log(layout.self_training(0, 1), "self_training", ("loss",))
    write_json(layout.segmentation(0) / "validation.json", {"cases": {}, "mean": {"cube": 0.91, "rod": 0.55}})
    _write_choice(layout.results, {"segmentation": 0.85, "round_1": 0.75})
    return layout


def _write_log(folder, stage, names, iterations=1000):
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for iteration in range(10, iterations + 1, 10):
        losses = {name: (1 + n) / iteration**0.5 for n, name in enumerate(names)}
        rows.append({"stage": stage, "iteration": iteration, "seconds_per_iteration": 0.5, "skipped": 0, **losses})
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _write_choice(results, scores):
    """choice.json of fold 0, with the best candidate chosen."""
    from darnet.io import write_json

    names = ("certainty", "stability", "agreement", "plausibility", "score")
    listed = {name: {"checkpoint": "hash", **dict.fromkeys(names, score)} for name, score in scores.items()}
    chosen = max(scores, key=scores.get)
    values = {"chosen": chosen, "candidates": listed, "scans": ["t1", "t2"], "made_from": "hash"}
    write_json(results / "choice.json", {"folds": {"0": values}})


def _write_predictions(layout, plans, missed=()):
    """Predicted masks of the raw target scans, and an evaluation of them made up for the test."""
    import nibabel as nib

    from darnet.evaluation import CaseScores, Scores, summarize
    from darnet.io import write_json

    folder = layout.results / "predictions"
    folder.mkdir(parents=True)
    write_json(folder / "prediction.json", {"dataset": plans.dataset, "labels": plans.labels})
    scores = []
    for n, case in enumerate(("t1", "t2")):
        scan = nib.load(layout.images("target") / f"{case}_0000.nii.gz")
        mask = np.zeros(scan.shape, np.uint8)
        mask[4:8, 4:8, 2:5] = 1
        if case not in missed:
            mask[9:12, 5:7, 2:6] = 2
        nib.Nifti1Image(mask, scan.affine).to_filename(folder / f"{case}.nii.gz")
        rod = Scores(0.0, float("inf"), float("inf")) if case in missed else Scores(0.7, 1.5, 0.5)
        scores.append(CaseScores(case, {"cube": Scores(0.9 - 0.05 * n, 1.0, 0.4), "rod": rod}))
    write_json(folder / "summary.json", {"labels": {"cube": 1, "rod": 2}, **summarize(scores, []).to_json()})
    return folder


@pytest.fixture
def report_plans(make_small_plans):
    plans = make_small_plans()
    reasons = {"spacing": "the medians of both", "source_depth": "source scans are no longer than target scans"}
    return dataclasses.replace(
        plans,
        preprocessing=dataclasses.replace(plans.preprocessing, why=reasons),
        segmentation=dataclasses.replace(plans.segmentation, why={"patch_size": "the largest that fits"}),
        self_training=dataclasses.replace(plans.self_training, rounds=1, iterations=1000),
        synthesis=dataclasses.replace(plans.synthesis, number_of_styles=2),
    )


@pytest.fixture
def small_run(tmp_path, report_plans, case_fingerprint, write_raw_dataset):
    """A data set with every stage done but prediction."""
    return _fill_run(tmp_path / "root", report_plans, case_fingerprint, write_raw_dataset)


@pytest.fixture
def whole_run(small_run, report_plans):
    """A data set with every stage done, the rod missed in one case."""
    _write_predictions(small_run, report_plans, missed=("t2",))
    return small_run
