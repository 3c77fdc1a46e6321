"""Words of the messages that workflows and commands share."""

from patientdx.wording import count_noun

__all__ = ["count_noun"]
