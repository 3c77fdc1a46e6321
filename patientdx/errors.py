"""The error tree: everything PatientDx raises on purpose.

PatientDxError
├── InputError          a file, a row or an argument that cannot be used (names `path:line`)
│   └── UsageError      options that cannot be understood (exit code 2, like Typer's own)
├── NotFoundError       a patient id that is not in the index
├── IndexFolderError    an index that is missing, damaged, too new, or being written to
├── CacheError          a cache of replies that is damaged, foreign, or cannot be written
├── FetchError          a download that was not allowed or is incomplete
├── ModelError          a language model that is missing or lacks an ability
│   └── ReplyError      prompts that a model did not answer (holds the other completions)
├── MergeError          models that cannot be merged
├── EvaluationError     metrics that cannot be computed from the data
└── ExtraMissingError   an optional package that is not installed

Messages are one sentence and never hold patient text; the hint names the next command.
"""

from collections.abc import Sequence

from .protocols import Completion


class PatientDxError(Exception):
    """Root of the tree: a sentence for the user, and a hint what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(PatientDxError):
    """Input that cannot be used; `at` gives file and line."""

    @classmethod
    def at(cls, path: object, line: int, problem: str, *, hint: str | None = None) -> "InputError":
        """An error that begins with `path:line:`."""
        return cls(f"{path}:{line}: {problem}", hint=hint)


class UsageError(InputError):
    """Options or arguments that cannot be understood or do not go together."""


class NotFoundError(PatientDxError):
    """A patient id that the index does not hold."""


class IndexFolderError(PatientDxError):
    """An index that is missing, damaged, of a newer version, or locked by a writer."""


class CacheError(PatientDxError):
    """A cache of replies that is damaged, foreign, too new, or cannot be written."""


class FetchError(PatientDxError):
    """A download that was not allowed, failed, or did not match its checksum."""


class ModelError(PatientDxError):
    """A language model that is missing or lacks an ability.

    `concerns_prompt` says that another prompt may well be answered.
    """

    concerns_prompt: bool = False


class ReplyError(ModelError):
    """Some prompts of a batch got no usable reply; `completions` has None in their places.

    `reason` is the message without the number of prompts. `concerns_prompt` is true where it is of
    every prompt that failed.
    """

    def __init__(
        self,
        message: str,
        completions: Sequence[Completion | None],
        *,
        hint: str | None = None,
        reason: str | None = None,
        concerns_prompt: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.completions = list(completions)
        self.reason = message if reason is None else reason
        self.concerns_prompt = concerns_prompt


class MergeError(PatientDxError):
    """Models that cannot be merged."""


class EvaluationError(PatientDxError):
    """Metrics that cannot be computed from the data."""


class ExtraMissingError(PatientDxError):
    """An optional package is not installed; the hint is the command that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"`{package}` is needed for this and is not installed",
            hint=f"pip install 'patientdx[{extra}]'   "
            f"(in a checkout: pip install -c constraints.txt -e '.[{extra}]')",
        )


def describe_patient_id(patient_id: str) -> str:
    """An id for a message; one that looks like text is not quoted."""
    if len(patient_id) <= 80 and not any(c.isspace() for c in patient_id):
        return f"`{patient_id}`"
    return f"with an id of {len(patient_id):,} characters"
