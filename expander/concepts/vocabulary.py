"""Reading a vocabulary: the concepts of an OBO ontology or of a CSV or TSV list of names.

Examples are the Human Phenotype Ontology, the Disease Ontology and lists of abbreviations. The
first line of a file decides which of the two formats it has.
"""

from itertools import chain

from patientdx.errors import InputError
from patientdx.storage.text_files import Source, non_blank_lines, open_lines, source_name

from .concept import Concept
from .name_lists import read_name_list
from .obo import OBO_HINT, concepts_below, is_obo, read_obo


def read_vocabulary(source: Source, *, root: str | None = None) -> list[Concept]:
    """The concepts of an OBO, CSV or TSV file (plain, gzip or zstd).

    `root` selects the concepts below a concept of an OBO file (HP:0000118 excludes HPO's
    modifiers). Raises InputError for a file in neither format, a malformed row and an unknown root.
    """
    lines = non_blank_lines(open_lines(source))
    first = next(lines, None)
    if first is None:
        raise InputError(f"{source_name(source)}: the vocabulary is empty", hint=OBO_HINT)
    all_lines = chain([first], lines)
    if is_obo(first[1]):
        concepts = read_obo(all_lines, source)
        return concepts if root is None else concepts_below(root, concepts, source)
    if root is not None:
        raise InputError(f"{source_name(source)}: only an OBO file has a root concept")
    return read_name_list(all_lines, source)
