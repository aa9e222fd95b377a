"""Packaging. Ranges live here; the exact versions that set-up and CI install are pinned in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
PACKAGE = (ROOT / "subnet" / "__init__.py").read_text()
VERSION = re.findall(r'__version__ = "([^"]+)"', PACKAGE)[0]

setup(
    name="assay-subnet",
    version=VERSION,
    description="A Bittensor subnet for verified LLM inference",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["subnet", "subnet.*", "reward", "reward.*", "neurons", "neurons.*"]),
    include_package_data=True,
    package_data={"": ["*.json", "*.jsonl", "*.txt", "*/*.json", "static/*"]},
    install_requires=[
        # the chain and the signed transport
        "bittensor>=11.3,<12",
        "substrate-interface>=1.8.1,<2",
        "starlette>=1.0,<2",
        "uvicorn>=0.40,<1",
        "httptools>=0.7,<1",
        "orjson>=3.10,<4",
        "uvloop>=0.22,<1; platform_system != 'Windows'",
        "httpx>=0.28,<1",
        # models, replay and reward
        "torch>=2.13,<3",
        "transformers>=5.20,<6",
        "safetensors>=0.7,<1",
        "huggingface-hub>=2,<3",
        "gguf>=0.18,<1",
        "accelerate>=1.13,<2",
        "tokenizers>=0.22,<1",
        "jinja2>=3.1,<4",
        "platformdirs>=4,<5",
        "numpy>=2.2,<3",
        # the embedded local chain
        "cryptography>=48",
        "pycryptodome>=3.23,<4",
        "py-sr25519-bindings>=0.2,<1",
        "xxhash>=3.6,<4",
        "websockets>=15,<18",
        # telemetry and the terminal
        "loguru>=0.7.3,<1",
        "wandb>=0.25,<1",
        "prometheus-client>=0.24,<1",
        "rich>=14,<17",
        "matplotlib>=3.10,<4",
    ],
    extras_require={
        # what the transport benchmark compares with
        "benchmarks": ["aiohttp>=3.13,<4"],
        "test": [
            "hypothesis>=6.150,<7",
            "mypy>=2,<3",
            "psutil>=6,<8",
            "pytest>=9,<10",
            "pytest-asyncio>=1.3,<2",
            "ruff>=0.17,<1",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Operating System :: POSIX",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
