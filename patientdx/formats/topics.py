"""Reads TREC topics: XML (CDS, Clinical Trials, Precision Medicine) and classic `<top>` blocks.

XML is read by expat, without document types that declare entities and without other files.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from patientdx.errors import InputError
from patientdx.storage.text_files import TextInput

NUMBER = "number"
"""The field of a topic's number, whatever the file calls it."""

TEXT = "text"
"""The field of a text that stands in the topic itself, or of all its parts."""

_TOPIC_NAMES = frozenset({"topic", "top", "query"})
_NUMBER_NAMES = frozenset({"number", "num", "id", "qid", "query_id", "topic_id"})
_BLOCK = re.compile(r"<top\s*>", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-z][\w-]*)\s*>", re.IGNORECASE)
_LABEL = re.compile(
    r"\s*(?:number|topic|title|description|summary|narrative|concepts?|domain)\s*:", re.IGNORECASE
)
_NAMES = {"num": NUMBER, "smry": "summary", "narr": "narrative"}
_HINT = "topics are <topic number=...> in XML, or <top> blocks with <num> and <title>"

NumberedTopic = tuple[int, dict[str, str]]
"""The line of a topic, and its fields, among them `NUMBER`."""


def read_topics(source: TextInput) -> Iterator[NumberedTopic]:
    """The topics of an open source. Raises InputError where there are none or it is malformed."""
    text = "".join(source.chunks())
    is_classic = _BLOCK.search(text) is not None and "<?xml" not in text[:200]
    topics = _blocks(text, source.name) if is_classic else _xml_topics(text, source.name)
    empty = True
    for topic in topics:
        empty = False
        yield topic
    if empty:
        raise InputError.at(source.name, 1, "there are no topics in it", hint=_HINT)


def _blocks(text: str, name: str) -> Iterator[NumberedTopic]:
    """The topics of classic TREC files, whose tags need not be closed."""
    starts = [match.start() for match in _BLOCK.finditer(text)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        line = text.count("\n", 0, start) + 1
        body = re.split(r"</top\s*>", text[start:end], maxsplit=1, flags=re.IGNORECASE)[0]
        topic = _fields_of_block(body)
        if not topic.get(NUMBER):
            raise InputError.at(name, line, "a topic without a number", hint=_HINT)
        yield line, topic


def _fields_of_block(body: str) -> dict[str, str]:
    tags = list(_TAG.finditer(body))
    topic: dict[str, str] = {}
    for tag, following in zip(tags, [*tags[1:], None], strict=True):
        name = tag[2].lower()
        if tag[1] or name == "top":
            continue
        content = body[tag.end() : following.start() if following else len(body)]
        topic[_NAMES.get(name, name)] = " ".join(html.unescape(_without_label(content)).split())
    return topic


def _without_label(content: str) -> str:
    label = _LABEL.match(content)
    return content[label.end() :] if label else content


def _xml_topics(text: str, name: str) -> Iterator[NumberedTopic]:
    reader = _TopicReader(name)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = lambda tag, attributes: reader.start(
        tag, attributes, parser.CurrentLineNumber
    )
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.add_text
    parser.EntityDeclHandler = lambda *_: reader.refuse_entity(parser.CurrentLineNumber)
    parser.SkippedEntityHandler = lambda *_: reader.refuse_entity(parser.CurrentLineNumber)
    try:
        parser.Parse(text.encode("utf-8"), True)
    except expat.ExpatError as error:
        problem = f"malformed XML ({expat.ErrorString(error.code)})"
        raise InputError.at(name, error.lineno, problem, hint=_HINT) from error
    yield from reader.topics


@dataclass
class _TopicReader:
    """Collects topics from the events of an XML parser."""

    name: str
    topics: list[NumberedTopic] = field(default_factory=list)
    _path: list[str] = field(default_factory=list)  # open elements from the topic on
    _topic: dict[str, list[str]] = field(default_factory=dict)
    _labelled: set[str] = field(default_factory=set)  # parts whose name belongs to their text
    _line: int = 0

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        """An element begins."""
        tag = tag.rpartition(":")[2].lower()
        if not self._path:
            if tag in _TOPIC_NAMES:
                self._path, self._line = [TEXT], line
                numbers = [value for key, value in attributes.items() if key in _NUMBER_NAMES]
                self._topic = {NUMBER: numbers[:1]}
            return
        is_part = len(self._path) == 1
        part = attributes.get("name", tag).lower() if tag == "field" else tag
        if is_part and tag in _NUMBER_NAMES and not self._topic[NUMBER]:
            part = NUMBER
        self._path.append(part if is_part else self._path[-1])
        self._topic.setdefault(self._path[-1], [])
        if is_part and tag == "field":
            self._labelled.add(part)

    def end(self, _tag: str) -> None:
        """An element ends."""
        if not self._path:
            return
        self._path.pop()
        if not self._path:
            self.topics.append((self._line, self._finished()))

    def add_text(self, text: str) -> None:
        """Text of the innermost open element."""
        if self._path:
            self._topic.setdefault(self._path[-1], []).append(text)

    def refuse_entity(self, line: int) -> None:
        """Entities could stand for other files, or for more text than memory holds."""
        hint = "write the characters themselves; &amp; &lt; and &gt; are known"
        raise InputError.at(self.name, line, "entities are not read", hint=hint)

    def _finished(self) -> dict[str, str]:
        topic = {name: " ".join("".join(parts).split()) for name, parts in self._topic.items()}
        number = _without_label(topic.pop(NUMBER)).strip()
        if not number:
            raise InputError.at(self.name, self._line, "a topic without a number", hint=_HINT)
        if not topic.get(TEXT):
            topic.pop(TEXT, None)
        for name in self._labelled & topic.keys():
            topic[name] = f"{name}: {topic[name]}" if topic[name] else ""
        return {NUMBER: number, **topic}
