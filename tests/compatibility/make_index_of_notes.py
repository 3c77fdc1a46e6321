"""Makes `files/index-of-notes`, an index of format version 3, as version 6a3a2fc wrote it.

    git checkout 6a3a2fc
    PYTHONPATH=.:tests/support python tests/compatibility/make_index_of_notes.py

It was run once, and is kept to show how the files were made. The notes are invented: patients of
one note and of several, with dates, types and numbers, in two segments with deletions.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

from kept_files import FILES, SEARCHES_OF_NOTES, run, scored

from indexer.index import Index

NOTES = (
    ("7", "7-1", "2180-05-06", "DS", 3, "Ascites and jaundice in a 44-year-old man."),
    ("7", "7-2", "2180-07-01", "RR", 1, "Jaundice; ascites, much ascites, drained."),
    ("8", "8-1", "2181", "DS", 12, "A 60-year-old woman with jaundice and fever of 39 \u00b0C."),
    ("8", "8-2", "", "RR", None, "No free fluid. Troponin 3 \u00b5g/L."),
    ("9", "9-1", "2180-05-31T10:00:00", "DS", 7.5, "Cough and fever; ascites was not seen."),
    ("10", "10-1", "2179-12-31", "DS", "unknown", "Gait ataxia, nystagmus and confusion."),
    ("11", "11-1", "2180-06-15", "RR", 2, "Chest film: no effusion. Cough."),
)
MORE = (
    ("9", "9-2", "2180-08-01", "RR", 4, "Fever, cough, jaundice now, and ascites."),
    ("12", "12-1", "2182-01-01", "DS", 5, "Fieber, Ascites, na\u00efve \u80ba\u708e\u60a3\u8005."),
)


def main() -> None:
    """Makes the index and what searches in it give."""
    os.chdir(FILES)
    for name, notes in (("notes.jsonl", NOTES), ("more-notes.jsonl", MORE)):
        keys = ("subject_id", "note_id", "date", "note_type", "los", "text")
        rows = [dict(zip(keys, note, strict=True)) for note in notes]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        Path(name).write_text("".join(lines), encoding="utf-8")
    index = ("--index", "index-of-notes", "--quiet")
    run("index", "build", "notes.jsonl", "--into", "index-of-notes", "--quiet")
    run("index", "delete", "11", *index)
    run("index", "add", "more-notes.jsonl", *index)
    run("index", "delete", "--note", "8-2", *index)
    stored = [asdict(note) for note in Index.open("index-of-notes").patients()]
    hits = {name: scored(run(*search, "--json")) for name, search in SEARCHES_OF_NOTES.items()}
    for name, content in (("notes", stored), ("searches_of_notes", hits)):
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (FILES / "recorded" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
