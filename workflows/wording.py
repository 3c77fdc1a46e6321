"""Words of the messages that workflows and commands share."""

from patientdx.wording import count_noun, count_patients

__all__ = ["count_noun", "count_patients"]
