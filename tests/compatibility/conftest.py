"""Lets the tests and the script of this folder import `kept_files` by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
