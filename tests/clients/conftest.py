from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from nodes import BINARY, Nodes, wait_for_brokers  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="longer loads, every client and every tool")
    parser.addoption("--sample", type=int, default=0, help="which of the tools are tried without --all")


STRIDE = 4  # of the tools that a run without --all tries


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tools = [item for item in items if item.path.name == "test_tools.py"]
    if config.getoption("--all") or len(tools) < STRIDE:
        return
    left = [t for i, t in enumerate(tools) if i % STRIDE != config.getoption("--sample") % STRIDE]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def load(request: pytest.FixtureRequest) -> int:
    """How many records a load under a kill has."""
    return 20_000 if request.config.getoption("--all") else 4_000


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    if not BINARY.exists():
        pytest.fail(f"there is no {BINARY}: ./run build makes it")
    folder = tmp_path_factory.mktemp("cluster")
    nodes = Nodes(folder)
    yield nodes
    nodes.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(shared_cluster: Nodes) -> Nodes:
    """Three nodes that all tests share; a test that kills one starts it again."""
    wait_for_brokers(shared_cluster.brokers, len(shared_cluster.nodes))
    return shared_cluster


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    return f"{request.module.__name__}-{request.node.name}"
