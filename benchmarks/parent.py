"""The parent's side of a child process: start, ask, stop."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).resolve().parent
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class EngineError(Exception):
    """An engine that is not installed, or whose process ended; the others go on."""


class Child:
    """A process that runs one engine. What it prints goes to a log file."""

    def __init__(
        self,
        engine: str,
        log: Path,
        *,
        stop_words: str = "kept",
        threads: int = 1,
        python: str = sys.executable,
    ) -> None:
        self.engine = engine
        self._log = log
        self._process = subprocess.Popen(
            [python, str(HERE / "child.py"), engine, stop_words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("a", encoding="utf-8"),
            env=_environment(threads),
            text=True,
            encoding="utf-8",
        )

    def ask(self, command: str, **options: Any) -> Any:
        """The answer to one command. Raises EngineError."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"do": command, **options}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure(command) from None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure(command)
        answer = json.loads(line)
        if "missing" in answer:
            raise EngineError(f"not installed ({answer['missing']})")
        return answer["value"]

    def close(self) -> None:
        """Ends the process and waits for it."""
        try:
            self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _failure(self, command: str) -> EngineError:
        code = self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        return EngineError(f"failed at `{command}` with exit status {code}: {last}")


def _environment(threads: int) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
    limits = dict.fromkeys(THREADS, str(threads))
    return {**os.environ, **limits, "PYTHONPATH": path}
