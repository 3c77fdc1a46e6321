"""The reply cache: what it stores and refuses, and that no prompt is generated twice."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import expansion_writer
import pytest
from expander_fakes import GREEDY, FakeGenerator
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT

from expander.cached_generator import CachedGenerator
from expander.reply_cache import ReplyCache, clear_cache, reply_key
from patientdx.errors import CacheError
from patientdx.protocols import GenerationSettings

KILLS = int(os.environ.get("PATIENTDX_KILLS", "4"))


def key(number: int) -> bytes:
    return reply_key("model", f"prompt {number}", GREEDY)


def test_replies_are_returned_as_stored(tmp_path: Path) -> None:
    texts = {key(1): "angina", key(2): "", key(3): "a\0b\nß 日本 \U0001f600", key(4): "x" * 70_000}
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        cache.store(texts)
        assert cache.find([*texts, key(5)]) == texts
        assert len(cache) == 4
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        assert cache.find(list(texts)) == texts
        assert cache.find([]) == {}


def test_more_keys_than_fit_into_one_statement(tmp_path: Path) -> None:
    many = {key(number): str(number) for number in range(3000)}
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        cache.store(many)
        assert cache.find(list(many)) == many


parts = st.tuples(
    st.text(max_size=5),
    st.text(max_size=5),
    st.builds(
        GenerationSettings,
        st.integers(1, 3),
        st.sampled_from([0.0, 1.0]),
        st.integers(0, 1),
        st.lists(st.text(max_size=2), max_size=2).map(tuple),
    ),
    st.text(max_size=3),
)


@given(parts, parts)
def test_keys_are_equal_only_if_all_inputs_are(left: tuple, right: tuple) -> None:  # type: ignore[type-arg]
    assert (reply_key(*left) == reply_key(*right)) == (left == right)


def test_a_key_never_changes() -> None:
    """Caches outlive versions: a change here throws everybody's paid work away."""
    assert key(0).hex() == ("a94e771b6e457c5b1b08e6a7ddbe80a873894d1b3b89336e46d5aecb99ad873c")


def test_only_the_owner_can_read_the_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "replies.sqlite3"
    before = os.umask(0)
    try:
        cache = ReplyCache(path)
    finally:
        os.umask(before)
    modes = {place: stat.S_IMODE(place.stat().st_mode) for place in (path, *list(path.parents)[:2])}
    assert list(modes.values()) == [0o600, 0o700, 0o700]
    cache.close()
    path.chmod(0o644)
    ReplyCache(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_prompts_are_not_stored(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        CachedGenerator(FakeGenerator(lambda _: "angina"), cache).generate(["Hortensia Doe, 63"])
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"angina" in content
    assert b"Hortensia" not in content


def filled(path: Path, replies: int = 300) -> dict[bytes, str]:
    texts = {key(number): f"reply number {number} " * 9 for number in range(replies)}
    with ReplyCache(path) as cache:
        cache.store(texts)
    return texts


def test_a_flipped_bit_is_never_used(tmp_path: Path) -> None:
    """Either the cache is refused, or what it gives is what was stored."""
    path = tmp_path / "replies.sqlite3"
    texts = filled(path)
    whole = path.read_bytes()
    rnd = Random(0)
    messages = set()
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rnd.randrange(len(whole))] ^= 1 << rnd.randrange(8)
        path.write_bytes(damaged)
        try:
            with ReplyCache(path) as cache:
                assert cache.find(list(texts)).items() <= texts.items()
        except CacheError as error:
            messages.add(error.message)
    assert f"{path}: the reply cache is damaged" in messages
    assert all(message.startswith(f"{path}: ") and len(message) < 300 for message in messages)


def test_a_changed_reply_is_never_used(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite3"
    texts = filled(path, 3)
    path.write_bytes(path.read_bytes().replace(b"reply number 2", b"reply number 3"))
    with ReplyCache(path) as cache:
        assert cache.find([key(0)]) == {key(0): texts[key(0)]}
        with pytest.raises(CacheError, match="damaged"):
            cache.find([key(2)])


@pytest.mark.parametrize("content", [b"no cache at all" * 100, b"SQLite format 3\0" + b"x" * 4080])
def test_other_files_are_refused_with_a_hint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "replies.sqlite3"
    path.write_bytes(content)
    with pytest.raises(CacheError, match="damaged") as caught:
        ReplyCache(path)
    assert "expand --clear" in (caught.value.hint or "")
    assert path.read_bytes() == content


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite3"
    texts = filled(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CacheError, match="damaged"), ReplyCache(path) as cache:
        cache.find(list(texts))


def test_other_databases_and_versions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE patients (name)")
    other.close()
    with pytest.raises(CacheError, match="not a reply cache"):
        ReplyCache(path)
    ours = tmp_path / "replies.sqlite3"
    filled(ours, 1)
    with sqlite3.connect(ours) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(CacheError, match="another version"):
        ReplyCache(ours)


def test_a_path_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="cannot be used: Is a directory") as caught:
        ReplyCache(tmp_path)
    assert "--no-cache" in (caught.value.hint or "")
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot be used: Not a directory"):
        ReplyCache(tmp_path / "file" / "replies.sqlite3")


def test_a_failed_store_leaves_nothing_and_the_cache_still_works(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        cache.store({key(0): "before"})
        cache._connection.set_progress_handler(lambda: 1, 100)
        with pytest.raises(CacheError, match="cannot be used: SQLITE_INTERRUPT"):
            cache.store({key(number): "lost" for number in range(1, 200)})
        cache._connection.set_progress_handler(None, 0)
        assert len(cache) == 1
        cache.store({key(1): "after"})
        assert cache.find([key(0), key(1)]) == {key(0): "before", key(1): "after"}


def test_a_lock_held_by_another_process_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "replies.sqlite3"
    filled(path, 1)
    monkeypatch.setattr("patientdx.storage.row_store._WAIT", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CacheError, match="cannot be used: SQLITE_BUSY"):
            ReplyCache(path)
        other.execute("ROLLBACK")
    ReplyCache(path).close()


def test_a_cache_that_cannot_be_removed_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite3").mkdir()
    with pytest.raises(CacheError, match="cannot be removed: Is a directory"):
        clear_cache(tmp_path / "x.sqlite3")


def test_clearing_removes_caches_only(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite3"
    filled(path, 1)
    assert clear_cache(path)
    assert not clear_cache(path)
    path.write_bytes(b"damaged")
    assert clear_cache(path)
    assert list(tmp_path.iterdir()) == []
    note = tmp_path / "note.txt"
    note.write_text("a note")
    with pytest.raises(CacheError, match="not a reply cache"):
        clear_cache(note)
    assert note.exists()


def test_threads_with_their_own_connections_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite3"
    failures: list[BaseException] = []

    def write(first: int) -> None:
        try:
            with ReplyCache(path) as cache:
                for number in range(first, first + 40):
                    cache.store({key(number): str(number)})
                    assert cache.find([key(number)]) == {key(number): str(number)}
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 20, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with ReplyCache(path) as cache:
        assert len(cache) == 100


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_killed_run_resumes_where_it_stopped(tmp_path: Path, kill: int) -> None:
    cache, log = tmp_path / "replies.sqlite3", tmp_path / "log"
    command = [sys.executable, expansion_writer.__file__, str(cache), str(log)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment)
    target = 1 + Random(kill).randrange(180)
    while process.poll() is None and len(lines(log)) < target:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = lines(log)
    replies = expansion_writer.replies(cache, log, 0)
    assert replies == [f"reply to {prompt}" for prompt in expansion_writer.PROMPTS]
    prompts_after = lines(log)
    assert target <= len(before) < 200
    assert 200 <= len(prompts_after) <= 200 + expansion_writer.BATCH
    assert set(prompts_after) == set(expansion_writer.PROMPTS)
    expansion_writer.replies(cache, log, 0)
    assert lines(log) == prompts_after


def lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def test_another_digest_settings_or_scope_is_another_reply(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        models = [FakeGenerator(digest=name) for name in ("one", "two")]
        for model in models:
            CachedGenerator(model, cache).generate(["p"])
        CachedGenerator(models[0], cache).generate(["p"], replace(GREEDY, seed=1))
        CachedGenerator(models[0], cache, scope="raw prompts").generate(["p"])
        CachedGenerator(models[0], cache).generate(["p"])
        assert [len(model.seen_prompts) for model in models] == [3, 1]
        assert len(cache) == 4
