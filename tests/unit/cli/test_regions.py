"""`ig regions`: the registry, or a part of it."""

import pytest

from subgraph.cli.main import main
from subgraph.tenants.regions import RegionRegistry


def test_every_region_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["regions"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert tuple(listed) == RegionRegistry.load().codes


def test_a_jurisdiction_has_its_regions_only(capsys: pytest.CaptureFixture[str]) -> None:
    main(["regions", "--jurisdiction", "DE"])
    listed = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert (len(listed) > 1, {place for _, place in listed}) == (True, {"DE"})


def test_a_jurisdiction_without_regions_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["regions", "--jurisdiction", "XX"]) == 1
    shown = capsys.readouterr().err
    assert ("no region is in XX" in shown, "DE" in shown) == (True, True)
