"""What XML can't hold is replaced wherever the pieces of a document are cut."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from manager.store.xmltext import XmlText


@given(st.text(), st.integers(1, 5))
def test_pieces_make_what_the_whole_makes(text: str, size: int):
    data = f"<a>{text}</a>".encode()
    sink = io.BytesIO()
    written = XmlText(sink)
    for at in range(0, len(data), size):
        assert written.write(data[at : at + size]) == len(data[at : at + size])
    allowed = [
        c if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff") else "\ufffd" for c in text
    ]
    assert sink.getvalue().decode() == f"<a>{''.join(allowed)}</a>"
