"""Lets a child process be interrupted, however the tests were started."""

RESTORE_SIGINT = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""First lines of a child's program. A shell without job control starts background jobs (`&`) with
SIGINT ignored; children inherit that, and Python then leaves it so."""
