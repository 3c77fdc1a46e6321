"""The API key of a server: read from a file or a variable, sent, and never shown."""

from pathlib import Path

import pytest
from fault_server import Script, reply, serving

from patientdx.errors import InputError
from patientdx.models import ModelSettings, open_model
from patientdx.models.credentials import API_KEY_VARIABLE, read_api_key

KEY = "sk-Zaphodine-42"


def test_without_file_and_variable_there_is_no_key() -> None:
    assert read_api_key({}) is None
    assert read_api_key({"OPENAI_API_KEY": KEY, API_KEY_VARIABLE: ""}) is None


def test_the_variable_holds_the_key() -> None:
    assert read_api_key({API_KEY_VARIABLE: f" {KEY}\n"}) == KEY


@pytest.mark.parametrize("content", [KEY, f"{KEY}\n", f"\n  {KEY}\r\n"])
def test_the_file_wins_over_the_variable(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content.encode())
    assert read_api_key({API_KEY_VARIABLE: "other"}, file) == KEY


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (f"{KEY}\n{KEY}".encode(), "no white space"),
        (f"{KEY} {KEY}".encode(), "no white space"),
        (f"{KEY}\0".encode(), "control"),
        (f"{KEY}é".encode(), "non-ASCII"),
        (f"{KEY}".encode() + b"\xff", "non-ASCII"),
        (KEY.encode() * 2000, "too long"),
    ],
)
def test_unusable_keys_are_refused_without_quoting_them(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(InputError, match=problem) as raised:
        read_api_key({}, file)
    assert str(file) in raised.value.message
    assert "Zaphodine" not in f"{raised.value} {raised.value.hint}"


def test_a_bad_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=API_KEY_VARIABLE):
        read_api_key({API_KEY_VARIABLE: f"{KEY} {KEY}"})
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_api_key({}, tmp_path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_api_key({}, tmp_path / "none")


def test_the_key_is_sent_and_not_shown() -> None:
    script = Script(lambda _: reply("yes"))
    settings = ModelSettings(api_key=KEY, timeout_s=5)
    with serving(script) as url:
        model = open_model(url, settings)
        model.generate(["a"])
        model.close()
    assert [headers["Authorization"] for headers in script.headers] == [f"Bearer {KEY}"] * 2
    assert "Zaphodine" not in f"{settings!r} {model!r} {vars(model)!r}"
