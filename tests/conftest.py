"""What all tests share: helper modules of this folder, and how hypothesis runs."""

import sys
from pathlib import Path

from hypothesis import settings

# --import-mode=importlib leaves sys.path alone; tests import `oracle` and `corpora` by name.
sys.path.insert(0, str(Path(__file__).parent))

# The first call of a compiled kernel takes seconds: a deadline would fail it.
settings.register_profile("patientdx", deadline=None)
settings.load_profile("patientdx")
