"""Bytes of XML with what XML 1.0 can't hold replaced: Oxigraph writes it as it is (0.5.13).

Source: XML 1.0, section 2.2, production Char.
"""

from __future__ import annotations

import re
from typing import Any

_NOT_XML = re.compile(b"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
_CUT = re.compile(b"\xef\xbf?\\Z")
"""What may be the beginning of U+FFFE or U+FFFF."""


class XmlText:
    """A sink in front of another; a document's last byte is a ``>``, so that nothing is kept."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._kept = b""

    def write(self, data: Any) -> int:
        text = self._kept + bytes(data)
        cut = _CUT.search(text)
        end = cut.start() if cut else len(text)
        self._kept = text[end:]
        self._sink.write(_NOT_XML.sub(_REPLACEMENT, text[:end]))
        return len(data)

    def flush(self) -> None:
        self._sink.flush()
