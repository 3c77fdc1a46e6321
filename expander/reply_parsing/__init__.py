"""Parsing the replies of language models as keywords or as a passage.

Small models number their lists, repeat the prompt, loop, invent a second patient, apologise, or
write nothing. The parsers accept any reply. They return words of the reply, and a bounded number
of them. No reply can change the query itself: a parser only returns what may be added to it.
"""
