"""Folders that tests refer to."""

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
TESTS = SUPPORT.parent
ROOT = TESTS.parent

SHARED = ROOT.parent / "shared" / "data"
"""Real data beside the checkout; tests that need them skip where they are absent."""
