"""Models that bring code along: the merge names it if it has it, and never runs it."""

import json
from pathlib import Path
from typing import Any

import odd_inputs
import pytest
from odd_inputs import slerp_recipe

from merger.execution import merge
from merger.verification import verify_merge

CODE = "raise SystemExit('run')\nfrom .layers_own import Layer\nfrom . import configuration_own\n"
FILES = {
    "modeling_own.py": CODE,
    "layers_own.py": "raise SystemExit('run')\n",
    "configuration_own.py": "raise SystemExit('run')\n",
    "other.py": "raise SystemExit('run')\n",
}
AUTO_MAP: dict[str, Any] = {
    "AutoConfig": "configuration_own.OwnConfig",
    "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
    "AutoTokenizer": [None, "modeling_own.OwnTokenizer"],
}


def merged(
    root: Path, files: dict[str, str], **config: Any
) -> tuple[dict[str, Any], list[str], list[str]]:
    """The config.json, the files of code, and the remarks on code of a merge, which verifies."""
    a, b = odd_inputs.make_pair(root, **config)
    for name, text in files.items():
        (a / name).write_text(text, "utf-8")
    result = merge(odd_inputs.job_of(slerp_recipe(a, b)), root / "out")
    assert verify_merge(root / "out").different == ()
    code = sorted(path.name for path in (root / "out").glob("*.py"))
    for name in code:
        assert (root / "out" / name).read_text("utf-8") == files[name]
    remarks = [remark for remark in result.remarks if "code" in remark]
    written = json.loads((root / "out" / "config.json").read_text("utf-8"))
    return written, code, [remark.replace(str(a), "A") for remark in remarks]


def test_a_type_that_transformers_knows_needs_no_code(tmp_path: Path) -> None:
    config, code, remarks = merged(tmp_path, FILES, auto_map=AUTO_MAP)
    assert "auto_map" not in config
    assert code == []
    assert remarks == [
        "the code that config.json of A names is left out: transformers knows llama without it"
    ]


def test_the_code_of_another_type_comes_along_with_what_it_imports(tmp_path: Path) -> None:
    config, code, remarks = merged(tmp_path, FILES, auto_map=AUTO_MAP, model_type="own")
    assert config["auto_map"] == AUTO_MAP
    assert code == ["configuration_own.py", "layers_own.py", "modeling_own.py"]
    assert remarks == [
        f"the merge has code of A ({', '.join(code)}): loading it needs trust_remote_code"
    ]


@pytest.mark.parametrize("missing", ["modeling_own.py", "layers_own.py"])
def test_code_that_is_not_all_there_is_not_named(tmp_path: Path, missing: str) -> None:
    files = {name: text for name, text in FILES.items() if name != missing}
    config, code, remarks = merged(tmp_path, files, auto_map=AUTO_MAP, model_type="own")
    assert "auto_map" not in config
    assert code == []
    assert remarks == [
        f"config.json of A names code that is not there ({missing}); that of the merge does not"
    ]


def test_code_in_another_repository_is_named_as_it_was(tmp_path: Path) -> None:
    auto_map = {"AutoModelForCausalLM": "other/repo--modeling_own.OwnForCausalLM"}
    config, code, remarks = merged(tmp_path, {}, auto_map=auto_map, model_type="own")
    assert config["auto_map"] == auto_map
    assert code == []
    assert "code in another repository" in remarks[0]


@pytest.mark.parametrize("name", ["../own.Own", "/etc/passwd.Own", "a/b.Own", ".Own", "a b.Own"])
def test_names_that_lead_elsewhere_are_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "own.py").write_text("secret", "utf-8")
    config, code, _ = merged(tmp_path, {}, auto_map={"AutoModel": name}, model_type="own")
    assert "auto_map" not in config
    assert code == []


def test_code_that_was_put_beside_a_merge_is_found(tmp_path: Path) -> None:
    """Early merges name code that they lack; with the code there, they are not as merged."""
    merged(tmp_path, {}, auto_map=AUTO_MAP)
    out = tmp_path / "out"
    odd_inputs.configure(out, auto_map=AUTO_MAP)
    assert verify_merge(out).different == ()
    (out / "modeling_own.py").write_text(CODE, "utf-8")
    assert verify_merge(out).different == ("config.json",)
    (out / "modeling_own.py").unlink()
    odd_inputs.configure(out, auto_map={"AutoModel": "other/repo--modeling_own.Own"})
    assert verify_merge(out).different == ("config.json",)
