"""A console of rich's whose texts drive no terminal: rich itself lets escape sequences pass."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from pllib.printable import printable
from pllib.terminal import styled

PIPED_WIDTH = 200


class InertConsole(Console):
    """Writes styles and moves of the cursor that are rich's own, and no others."""

    def __init__(self) -> None:
        super().__init__(file=styled(sys.stdout), highlight=False, markup=False)
        if not self.is_terminal:
            self.width = PIPED_WIDTH

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            own = segment.control or segment.text.isprintable()
            yield segment if own else segment._replace(text=printable(segment.text))
