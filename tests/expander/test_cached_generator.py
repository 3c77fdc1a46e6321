"""A model behind a cache: order, batches, repeated prompts, failures, interruptions, progress."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from completion_texts import texts
from expander_fakes import GREEDY, FailingGenerator, FakeGenerator
from hypothesis import given
from hypothesis import strategies as st

from expander.cached_generator import CachedGenerator, GenerationProgress, ModelReply, ReplyCounts
from expander.reply_cache import ReplyCache
from patientdx.errors import InputError, ModelError, ReplyError
from patientdx.protocols import Completion, GenerationSettings, Generator, Prompt


@given(st.lists(st.text(max_size=3), max_size=30), st.integers(1, 7))
def test_every_prompt_is_generated_once_and_replies_keep_their_order(
    prompts: list[str], batch: int
) -> None:
    model = FakeGenerator(lambda prompt: f"<{prompt.encode('utf-8', 'replace')!r}>")
    seen: list[GenerationProgress] = []
    generator = CachedGenerator(model, None, batch, on_progress=seen.append)
    expected = [f"<{prompt.encode('utf-8', 'replace')!r}>" for prompt in prompts]
    assert texts(generator.generate(prompts)) == expected
    assert sorted(model.seen_prompts) == sorted(set(prompts))
    assert all(len(batch_prompts) == batch for batch_prompts in model.batches[:-1])
    lengths = [len(prompt) for prompt in model.seen_prompts]
    assert lengths == sorted(lengths, reverse=True)
    assert sum(done.prompts for done in seen) == len(prompts) == generator.counts.model
    assert sorted(text for done in seen for text in done.texts) == sorted(set(expected))


def test_a_cached_generator_has_the_digest_of_its_model() -> None:
    generator = CachedGenerator(FakeGenerator(digest="weights"), None)
    assert isinstance(generator, Generator)
    assert (generator.name, generator.digest) == ("fake", "weights")


def test_only_prompts_missing_from_the_cache_are_generated(tmp_path: Path) -> None:
    seen: list[GenerationProgress] = []
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        model = FakeGenerator(str.upper)
        CachedGenerator(model, cache).generate(["a", "b"])
        again = CachedGenerator(model, cache, 1, on_progress=seen.append)
        assert again.replies(["b", "c", "b", "dd"]) == [
            ModelReply(Completion("B"), "cache"),
            ModelReply(Completion("C"), "model"),
            ModelReply(Completion("B"), "cache"),
            ModelReply(Completion("DD"), "model"),
        ]
    assert model.batches == [["a", "b"], ["dd"], ["c"]]
    assert seen == [
        GenerationProgress(2, "cache"),
        GenerationProgress(1, "model", ("DD",)),
        GenerationProgress(1, "model", ("C",)),
    ]
    assert again.counts == ReplyCounts(model=2, cache=2)


def test_settings_reach_the_model() -> None:
    model = FakeGenerator()
    CachedGenerator(model, None).generate(["p"], GenerationSettings(max_new_tokens=7))
    assert model.settings == [GenerationSettings(max_new_tokens=7)]


def test_a_failed_batch_is_counted_and_not_stored(tmp_path: Path) -> None:
    failures: list[tuple[str, int]] = []
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        generator = CachedGenerator(
            FailingGenerator(lambda number: number == 1),
            cache,
            2,
            on_failure=lambda error, prompts: failures.append((error.message, prompts)),
        )
        replies = generator.replies(["p1", "p2", "p3", "p4", "p5"])
        assert [reply.origin for reply in replies] == [
            "model",
            "model",
            "failed",
            "failed",
            "model",
        ]
        assert [reply.text for reply in replies][2:4] == ["", ""]
        assert failures == [("the server is down", 2)]
        assert generator.counts == ReplyCounts(model=3, failed=2)
        assert len(cache) == 3
        healthy = FakeGenerator()
        CachedGenerator(healthy, cache).generate(["p1", "p2", "p3", "p4", "p5"])
        assert sorted(healthy.seen_prompts) == ["p3", "p4"]


def test_a_model_that_keeps_failing_is_not_called_again() -> None:
    model = FailingGenerator(lambda number: number != 0)
    generator = CachedGenerator(model, None, 1, give_up_after=3)
    assert texts(generator.generate([str(number) for number in range(9)])).count("") == 8
    assert len(model.batches) == 4
    assert generator.counts == ReplyCounts(model=1, failed=8)


def test_errors_of_single_prompts_are_no_reason_to_give_up() -> None:
    class Particular(FakeGenerator):
        """Refuses long prompts."""

        def generate(
            self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
        ) -> list[Completion]:
            replies = super().generate(prompts, settings)
            if all(len(str(prompt)) < 9 for prompt in prompts):
                return replies
            raise ReplyError("too long", [None] * len(prompts), concerns_prompt=True)

    generator = CachedGenerator(Particular(), None, 1, give_up_after=3)
    prompts = [*("long" * length for length in range(3, 9)), "a", "b"]
    origins = [reply.origin for reply in generator.replies(prompts)]
    assert origins == ["failed"] * 6 + ["model"] * 2


def test_a_prompt_that_failed_is_not_sent_again_by_the_same_run() -> None:
    model = FailingGenerator(lambda number: number == 0)
    generator = CachedGenerator(model, None)
    assert [reply.origin for reply in generator.replies(["a"])] == ["failed"]
    assert [reply.origin for reply in generator.replies(["a", "b"])] == ["failed", "model"]
    assert model.seen_prompts == ["a", "b"]


def test_only_consecutive_failures_count_towards_giving_up() -> None:
    model = FailingGenerator(lambda number: number % 3 != 2)
    generator = CachedGenerator(model, None, 1, give_up_after=3)
    generator.generate([str(number) for number in range(9)])
    assert len(model.batches) == 9
    assert generator.counts == ReplyCounts(model=3, failed=6)


def test_a_wrong_number_of_replies_is_a_failure() -> None:
    class Short(FakeGenerator):
        def generate(
            self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
        ) -> list[Completion]:
            return [super().generate(prompts, settings)[0]]

    failures: list[ModelError] = []
    generator = CachedGenerator(Short(), None, on_failure=lambda error, _: failures.append(error))
    assert texts(generator.generate(["a", "b"])) == ["", ""]
    assert "1 reply to 2 prompts" in failures[0].message


def test_an_interrupted_run_keeps_its_finished_batches(tmp_path: Path) -> None:
    class Interrupted(FakeGenerator):
        def generate(
            self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
        ) -> list[Completion]:
            if len(self.batches) == 3:
                raise KeyboardInterrupt
            return super().generate(prompts, settings)

    prompts = [str(number) for number in range(10)]
    path = tmp_path / "replies.sqlite3"
    with ReplyCache(path) as cache, pytest.raises(KeyboardInterrupt):
        CachedGenerator(Interrupted(), cache, 2).generate(prompts)
    with ReplyCache(path) as cache:
        assert len(cache) == 6
        rest = FakeGenerator()
        CachedGenerator(rest, cache, 2).generate(prompts)
        assert len(rest.seen_prompts) == 4


def test_replies_with_lone_surrogates_are_the_same_from_model_and_cache(
    tmp_path: Path,
) -> None:
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        generator = CachedGenerator(FakeGenerator(lambda _: "half \ud83d"), cache)
        assert texts(generator.generate(["p"])) == texts(generator.generate(["p"])) == ["half ?"]


def test_invalid_sizes_are_refused() -> None:
    with pytest.raises(InputError):
        CachedGenerator(FakeGenerator(), None, 0)


class HalfGenerator(FakeGenerator):
    """Answers every second prompt of a batch, and none of a batch of one."""

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        completions = super().generate(prompts, settings)
        partial = [completion if i % 2 else None for i, completion in enumerate(completions)]
        raise ReplyError("some replies could not be read", partial)


def test_the_replies_of_a_partly_failed_batch_are_kept(tmp_path: Path) -> None:
    failures: list[int] = []
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        model = HalfGenerator(str.upper)
        generator = CachedGenerator(
            model, cache, 4, on_failure=lambda _, count: failures.append(count)
        )
        replies = generator.replies(["aaaa", "bbb", "cc", "d"])
        assert [reply.origin for reply in replies] == ["failed", "model", "failed", "model"]
        assert failures == [2]
        assert generator.counts == ReplyCounts(model=2, failed=2)
        again = CachedGenerator(FakeGenerator(str.lower), cache)
        assert texts(again.generate(["aaaa", "bbb", "cc", "d"])) == ["aaaa", "BBB", "cc", "D"]


def test_prompts_of_equal_text_but_different_notes_are_distinct(tmp_path: Path) -> None:
    model = FakeGenerator()
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        CachedGenerator(model, cache).generate([Prompt("a ", "b", " c"), Prompt("a ", "b c", "")])
    assert model.seen_prompts == ["a b c", "a b c"]


class CountingGenerator(FakeGenerator):
    """Reports the usage of a model whose tokens are characters and whose context is two."""

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        return [
            replace(
                completion,
                completion_tokens=len(completion.text),
                truncated=len(completion.text) > 2,
            )
            for completion in super().generate(prompts, settings)
        ]


def test_usage_of_each_batch_is_summed(tmp_path: Path) -> None:
    model = CountingGenerator(str.upper)
    model.batch = 2
    steps: list[GenerationProgress] = []
    with ReplyCache(tmp_path / "replies.sqlite3") as cache:
        generator = CachedGenerator(model, cache, on_progress=steps.append)
        generator.generate(["a", "bbb", "cccc"])
        assert [len(batch) for batch in model.batches] == [2, 1]
        assert [(step.tokens, step.truncated) for step in steps] == [(7, 2), (1, 0)]
        assert generator.batch == 2
        assert generator.counts.truncated == 2
        again = CachedGenerator(model, cache)
        assert again.generate(["bbb"]) == [Completion("BBB")]
        assert again.counts.truncated == 0
