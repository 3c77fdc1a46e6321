"""The plain text of HTML and of FHIR's attachments, with the reasons why there is none."""

import base64
import binascii
import codecs
from email.message import Message
from html.parser import HTMLParser
from typing import Any

MOST_BYTES = 1 << 26
"""Of an attachment, unpacked."""

_HIDDEN = frozenset({"script", "style", "head", "title", "template"})
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "br", "caption", "dd", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tbody", "tfoot",
    "thead", "tr", "ul",
})  # fmt: skip
_CELLS = frozenset({"td", "th"})


class NoTextError(ValueError):
    """An attachment without text, for a reason that the rules of FHIR foresee (a PDF)."""


class BadAttachmentError(ValueError):
    """An attachment that is defective: no base64, too large, not in its encoding."""


class _TextOfHtml(HTMLParser):
    """Collects the text of a document; blocks end a line. Knows no entities but HTML's own."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._hidden += tag in _HIDDEN
        if tag in _BLOCKS:
            self.parts.append("\n")
        elif tag in _CELLS:
            self.parts.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(" ".join(("", *data.split(), "")) if data.strip() else " ")


def text_of_html(html: str) -> str:
    """The text of an HTML document or fragment: a line a block, white space folded."""
    parser = _TextOfHtml()
    parser.feed(html)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)


def decode_base64(data: Any) -> bytes:
    """The bytes of an attachment's `data`. Raises BadAttachmentError."""
    if not isinstance(data, str):
        raise BadAttachmentError("the data of an attachment is no text")
    if len(data) > MOST_BYTES // 3 * 4 + 4:
        raise BadAttachmentError(f"an attachment has more than {MOST_BYTES >> 20} MiB")
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadAttachmentError("the data of an attachment is no base64") from error


def media_type(content_type: Any) -> tuple[str, str]:
    """(type in lower case, charset or "") of a content type; ("", "") where there is none."""
    if not isinstance(content_type, str) or not content_type.isprintable():
        return "", ""
    message = Message()
    message["Content-Type"] = content_type
    kind = message.get_content_type() if content_type.strip() else ""
    return kind, str(message.get_param("charset") or "")


def text_of_bytes(data: bytes, content_type: Any) -> str:
    """The text of an attachment's bytes by their type. Raises NoTextError, BadAttachmentError.

    Bytes without a type count as plain text if they are UTF-8.
    """
    kind, charset = media_type(content_type)
    if kind not in {"", "text/plain", "text/html", "application/xhtml+xml"}:
        raise NoTextError(f"attachments of the type {kind}")
    try:
        text = data.decode(_text_codec(charset))
    except UnicodeDecodeError as error:
        if not kind:
            raise NoTextError("attachments without a type") from error
        raise BadAttachmentError("an attachment is not in its encoding") from error
    if "\0" in text:
        raise BadAttachmentError("an attachment of text holds binary data")
    return text if kind in {"", "text/plain"} else text_of_html(text)


def _text_codec(charset: str) -> str:
    """A codec of texts; UTF-8 for none. Raises BadAttachmentError for unknown ones."""
    name = charset.strip().strip("\"'") or "utf-8-sig"
    try:
        info = codecs.lookup(name)
        "".encode(info.name)  # refuses codecs such as zip and base64
    except (LookupError, ValueError) as error:
        raise BadAttachmentError("an attachment has an unknown charset") from error
    return "utf-8-sig" if info.name == "utf-8" else info.name
