"""What the tests of the expander share: models that answer by rule, and small indices."""

from collections.abc import Callable, Sequence
from pathlib import Path

from indexer.index import Index
from indexer.writer import build_index
from patientdx.errors import ModelError
from patientdx.protocols import Completion, GenerationSettings, ModelDescription, Prompt
from patientdx.records import Patient

GREEDY = GenerationSettings()


class FakeGenerator:
    """A `Generator` that answers by a function and remembers its prompts."""

    def __init__(
        self,
        answer: Callable[[str], str] = lambda prompt: f"reply {len(prompt)}",
        digest: str = "d",
    ) -> None:
        self.name = "fake"
        self.digest = digest
        self.batch = 64
        self.description = ModelDescription()
        self.batches: list[list[str]] = []
        self.settings: list[GenerationSettings] = []
        self._answer = answer

    @property
    def seen_prompts(self) -> list[str]:
        return [prompt for batch in self.batches for prompt in batch]

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        texts = [prompt if isinstance(prompt, str) else prompt.text for prompt in prompts]
        self.batches.append(texts)
        self.settings.append(settings)
        return [Completion(self._answer(text)) for text in texts]


class FailingGenerator(FakeGenerator):
    """Raises ModelError for the batches whose numbers, from 0, `failing` accepts."""

    def __init__(self, failing: Callable[[int], bool]) -> None:
        super().__init__()
        self._failing = failing

    def generate(
        self, prompts: Sequence[str | Prompt], settings: GenerationSettings = GREEDY
    ) -> list[Completion]:
        completions = super().generate(prompts, settings)
        if self._failing(len(self.batches) - 1):
            raise ModelError("the server is down")
        return completions


def index_of(folder: Path, texts: Sequence[str]) -> Index:
    """An index of notes, called p0, p1 …"""
    build_index(folder, [Patient(f"p{number}", text) for number, text in enumerate(texts)])
    return Index.open(folder)
