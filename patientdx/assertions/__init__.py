"""What a note asserts of the findings it mentions: present in the patient now, or not.

After ConText: a mention may be negated ("no fever"), of the family ("mother had breast cancer"),
historical ("history of stroke") or hypothetical ("return if fever"); all others are affirmed. For
English notes. The rules are few, and make mistakes.
"""

from .mentions import LABELS, Assertions, Label, find_assertions, find_negated
from .words import Word, split_words

__all__ = [
    "LABELS",
    "Assertions",
    "Label",
    "Word",
    "find_assertions",
    "find_negated",
    "split_words",
]
