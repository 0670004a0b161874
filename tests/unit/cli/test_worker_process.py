"""A worker process that cannot start tells its supervisor not to try again."""

from pathlib import Path

import pytest
from uvicorn.config import STARTUP_FAILURE

from subgraph.cli import worker_process


async def test_records_that_break_a_rule_end_the_worker_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "deprecations.yaml"
    broken.write_text("nonsense: [")
    monkeypatch.setenv("DATABASE_URL", "postgresql://a@/b")
    monkeypatch.setenv("IG_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("IG_DEPRECATIONS_FILE", str(broken))
    with pytest.raises(SystemExit) as caught:
        worker_process.create()
    assert caught.value.code == STARTUP_FAILURE
    assert capsys.readouterr().err.startswith("ig: DEPRECATIONS_INVALID: ")
