"""A small data set, a model and a scan to spoil, and the contract that every refusal keeps."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np

from darnet.cli import evaluate, plan_and_preprocess, predict, train

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])
NAME = "Dataset007_Small"
NAN, INF = float("nan"), float("inf")


def load(path):
    image = nib.load(path)
    return np.asanyarray(image.dataobj).copy(), image.affine


def save(path, array, affine=AFFINE):
    nib.Nifti1Image(array, affine).to_filename(path)


def content_of(path):
    """The bytes of a NIfTI file without compression."""
    content = path.read_bytes()
    return bytearray(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)


def put(path, content):
    """Write bytes of a NIfTI file, compressed where the name says so, with a sound checksum."""
    path.write_bytes(gzip.compress(content, 5, mtime=0) if path.name.endswith(".gz") else content)


def set_fields(path, **fields):
    """Overwrite fields of the header and leave all else as it is."""
    content = content_of(path)
    order = "<" if int.from_bytes(content[:4], "little") == 348 else ">"
    header = nib.Nifti1Header(bytes(content[:348]), endianness=order, check=False)
    for name, value in fields.items():
        header[name] = value
    put(path, header.binaryblock + bytes(content[348:]))


def tree(folder):
    """Every file and folder below a folder with the hash of its bytes."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "no file"
        for p in sorted(Path(folder).rglob("*"))
    }


class Bench:
    """A root folder with a raw data set (sources s1, s2, targets t1, t2), an untrained model and a scan to segment."""

    def __init__(self, root, capsys, write_raw_dataset, make_small_plans, write_results):
        self.root, self.capsys = Path(root), capsys
        self.raw = write_raw_dataset(root)
        self.model = write_results(self.root / "model", make_small_plans((5.0, 2.0, 2.0), patch_size=(4, 8, 8)))
        self.scan = self.root / "scans" / "x_0000.nii.gz"
        self.scan.parent.mkdir()
        self.scan.write_bytes((self.raw / "imagesTr_target" / "t2_0000.nii.gz").read_bytes())

    @property
    def source(self):
        return self.raw / "imagesTr" / "s1_0000.nii.gz"

    @property
    def labels(self):
        return self.raw / "labelsTr" / "s1.nii.gz"

    @property
    def target(self):
        return self.raw / "imagesTr_target" / "t1_0000.nii.gz"

    def common(self):
        return ["--root", str(self.root), "-device", "cpu"]

    def plan(self, *flags):
        """Run darnet_plan_and_preprocess; gives exit code, output and errors."""
        command = ["-d", "7", "-np", "1", "--preset", "fast", *self.common(), *map(str, flags)]
        return self.run(plan_and_preprocess.main, command)

    def predict(self, *flags, source=None, output="out"):
        """Run darnet_predict; gives exit code, output and errors."""
        command = ["-i", source or self.scan, "-o", self.root / output, "-m", self.model, *self.common(), *flags]
        return self.run(predict.main, list(map(str, command)))

    def evaluate(self, *flags, predictions, references):
        """Run darnet_evaluate; gives exit code, output and errors."""
        return self.run(evaluate.main, ["-p", predictions, "-r", references, *self.common(), *flags])

    def train(self, *flags, fold="0"):
        """Run darnet_train; gives exit code, output and errors."""
        return self.run(train.main, ["7", fold, *self.common(), *flags])

    def shrink(self, **synthesis):
        """Plan so small a training that it takes seconds, and preprocess for it."""
        assert self.plan("--plan_only", "--quiet")[0] == 0
        values = self.plans()
        values["translation"] |= {"width": 4, "iterations": 1, "batch_size": 1, "residual_blocks": 1}
        values["translation"] |= {"discriminator_width": 4}
        values["synthesis"] |= {"number_of_styles": 2} | synthesis
        values["segmentation"] |= {"channels": [4] * 5, "iterations": 1, "batch_size": 1}
        values["self_training"] |= {"rounds": 0}
        (self.preprocessed() / "plans.json").write_text(json.dumps(values))
        assert self.plan("--keep_plan", "--quiet")[0] == 0

    def run(self, main, command):
        self.capsys.readouterr()
        code = main([str(flag) for flag in command])
        said = self.capsys.readouterr()
        assert "Traceback" not in said.err
        assert "internal error" not in said.err
        return code, said.out, said.err

    @contextlib.contextmanager
    def unchanged(self):
        """Nothing is written below the root."""
        before = tree(self.root)
        yield
        assert tree(self.root) == before

    def refused(self, run, *words, code=3):
        """A run must fail with this code, name all these words and a remedy, and write nothing."""
        with self.unchanged():
            found, out, err = run("--quiet")
        assert found == code, err
        assert out == ""
        assert "remedy" in err, err
        for word in words:
            assert str(word) in err, f"{word!r} is not in\n{err}"
        return err

    def refused_scan(self, spoil, *words):
        """A spoiled scan is refused as a source, as a target, and as a scan to segment, with its path."""
        for path in (self.source, self.target):
            whole = path.read_bytes()
            spoil(path)
            self.refused(self.plan, path, *words)
            path.write_bytes(whole)
        spoil(self.scan)
        self.refused(self.predict, self.scan, *words)

    def preprocessed(self):
        return self.root / "preprocessed" / NAME

    def plans(self):
        return json.loads((self.preprocessed() / "plans.json").read_text())
