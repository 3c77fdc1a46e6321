"""`index build` and `add` on the formats that hospitals have."""

from pathlib import Path

import small_fhir
import small_hospital
from command_line import run_successfully


def ids(outcome_text: str) -> list[str]:
    return outcome_text.split()


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "p1.txt").write_text("fever and a cough")
    (notes / "p2.txt").write_text("a fractured wrist")
    (notes / "list.csv").write_text("p1\np2\n")
    outcome = run_successfully("index", "build", notes, "--into", tmp_path / "x")
    assert "left out files that are no .txt files: 1\n" in outcome.err
    found = run_successfully("search", "fever", "--index", tmp_path / "x", "-q")
    assert ids(found.out) == ["p1"]


def test_a_folder_of_fhir(tmp_path: Path) -> None:
    export = small_fhir.write_export(tmp_path / "export")
    outcome = run_successfully("index", "build", export, "--into", tmp_path / "x")
    assert "left out notes entered in error: 1\n" in outcome.err
    (hit,) = run_successfully("search", "ascites", "--index", tmp_path / "x", "--json").json["hits"]
    assert (hit["patient_id"], int(hit["age_years"]), hit["sex"]) == ("p1", 52, "F")


def test_folders_of_omop_and_mimic(tmp_path: Path) -> None:
    folders = {
        "omop": (small_hospital.write_omop, "42"),
        "iv": (small_hospital.write_mimic_iv, "101"),
    }
    for name, (write, patient_id) in folders.items():
        folder, index = write(tmp_path / name), tmp_path / f"{name}-index"
        outcome = run_successfully("index", "build", folder, "--into", index)
        assert "left out" not in outcome.err
        found = run_successfully("search", "cirrhosis", "--index", index, "--sex", "F", "--json")
        (hit,) = found.json["hits"]
        assert (hit["patient_id"], int(hit["age_years"])) == (patient_id, 52)
    third = small_hospital.write_mimic_iii(tmp_path / "iii")
    outcome = run_successfully("index", "build", third, "--into", tmp_path / "iii-index")
    assert "left out notes marked as errors in `ISERROR`: 1\n" in outcome.err
