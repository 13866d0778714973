from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from worker_host import PATIENCE, ROOT

README = ROOT / "README.md"
EXAMPLES = [
    (README.read_text()[: found.start()].count("\n") + 2, found[1])
    for found in re.finditer(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
]


def test_every_feature_has_an_example() -> None:
    assert len(EXAMPLES) == README.read_text().count("```python")
    for feature in (
        "Iterator[",
        "async def",
        "current()",
        "adapter",
        "allow=",
        "inputs=",
        "cancel()",
        "timeout=",
        "on_start",
        "host_tools=",
        "acall(",
        "on_session_start",
    ):
        assert any(feature in source for _, source in EXAMPLES), feature


@pytest.mark.parametrize(("line", "source"), EXAMPLES, ids=[f"line {line}" for line, _ in EXAMPLES])
def test_the_examples_do_what_they_say(line: int, source: str, tmp_path: Path) -> None:
    module = tmp_path / "example.py"
    module.write_text("\n" * (line - 1) + source)  # a failure names the line of the README
    ended = subprocess.run(
        [sys.executable, str(module)],
        env={"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
