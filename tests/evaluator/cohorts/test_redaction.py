"""Ids replaced by keyed hashes."""

import hmac
from hashlib import sha256
from pathlib import Path

import pytest
import small_mimic

from evaluator.cohorts.redaction import IdRedactor, make_redactor
from patientdx.errors import InputError

KEY = b"sixteen bytes or more"


def test_the_hash_is_hmac_sha256() -> None:
    expected = hmac.new(KEY, b"stay\x0030001234", sha256).hexdigest()[:32]
    hash_id = IdRedactor(KEY, key_is_stored=True).hash_id
    assert hash_id("stay", "30001234") == expected
    assert hash_id("subject", "30001234") != expected


def test_keys(tmp_path: Path) -> None:
    assert make_redactor(None).key != make_redactor(None).key
    assert not make_redactor(None).key_is_stored
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    assert make_redactor(path) == IdRedactor(KEY, key_is_stored=True)
    assert "sixteen" not in repr(make_redactor(path))
    path.write_bytes(b"short")
    with pytest.raises(InputError, match="fewer than 16 bytes"):
        make_redactor(path)
    with pytest.raises(InputError, match="cannot be read"):
        make_redactor(tmp_path / "nowhere")


def test_a_redacted_cohort_differs_in_nothing_but_its_ids(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    from evaluator.cohorts import read_cohort
    from evaluator.cohorts.builder import build_cohort
    from evaluator.cohorts.sources.mimic import MimicReader

    folder, icd = small_mimic.mimic_iv(tmp_path / "mimic"), small_mimic.icd_map(tmp_path)
    plain, hidden = tmp_path / "plain.parquet", tmp_path / "hidden.parquet"
    reader = MimicReader("mimic-iv", folder, icd)
    build_cohort(reader, plain)
    redactor = IdRedactor(KEY, key_is_stored=True)
    build_cohort(reader, hidden, redactor=redactor)
    ours = {redactor.hash_id("stay", stay.stay_id): stay for stay in read_cohort(plain)}
    cohort = read_cohort(hidden)
    assert cohort.stay_ids == tuple(sorted(ours))  # an order that tells nothing
    for stay in cohort:
        known = ours[stay.stay_id]
        assert stay.subject_id == redactor.hash_id("subject", known.subject_id)
        changed = {"stay_id": known.stay_id, "subject_id": known.subject_id}
        assert {**vars(stay), **changed} == vars(known)
    assert cohort.meta.redacted
    assert any("keyed hashes" in note for note in cohort.meta.notes)
    assert KEY not in hidden.read_bytes()
