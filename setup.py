"""Installation of darnet. The version stands in darnet/__init__.py alone."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "darnet" / "__init__.py").read_text("utf-8"), re.MULTILINE)
assert VERSION is not None, "darnet/__init__.py has no __version__"

COMMANDS = {
    "darnet_plan_and_preprocess": "plan_and_preprocess",
    "darnet_convert": "convert",
    "darnet_train": "train",
    "darnet_predict": "predict",
    "darnet_evaluate": "evaluate",
    "darnet_export_model": "export_model",
    "darnet_import_model": "import_model",
    "darnet_report": "report",
    "darnet_experiment": "experiment",
    "darnet_demo": "demo",
}

setup(
    name="darnet",
    version=VERSION.group(1),
    description="Self-configuring 3D unsupervised domain adaptation for medical image segmentation",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["darnet", "darnet.*"]),
    package_data={"darnet": ["py.typed"], "darnet.report": ["templates/*"]},
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.4",
        "batchgenerators>=0.25",
        "SimpleITK>=2.3",
        "nibabel>=5.2",
        "numpy>=1.26",
        "scipy>=1.11",
        "scikit-learn>=1.4",
        "acvl-utils>=0.2.3",
        "tqdm>=4.66",
        "safetensors>=0.4.3",
        "blosc2>=2.6",
        "connected-components-3d>=3.16",
        "edt>=2.4",
        "filelock>=3.12",
        "matplotlib>=3.8",
        "jinja2>=3.1",
    ],
    extras_require={
        "dicom": ["highdicom>=0.27", "pydicom>=3.0.1"],
        "tensorboard": ["tensorboard>=2.17"],
        "docs": ["mkdocs-material>=9.6,<10", "mkdocstrings[python]>=0.30", "latex2mathml>=3.77"],
        "test": [
            "pytest>=8",
            "pytest-cov>=5",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "ruff>=0.6",
            "mypy>=1.11",
            "pre-commit>=3.7",
            "latex2mathml>=3.77",
            "tensorboard>=2.17",
            "highdicom>=0.27",
            "pydicom>=3.0.1",
        ],
    },
    entry_points={"console_scripts": [f"{name} = darnet.cli.{module}:main" for name, module in COMMANDS.items()]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
        "Typing :: Typed",
    ],
)
