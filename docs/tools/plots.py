"""matplotlib's ``plot`` directive on pages in MyST, whose parser takes no insertions: what the directive writes is parsed by itself."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils import new_document
from matplotlib.sphinxext.plot_directive import PlotDirective
from myst_parser.mocking import MockRSTParser, MockStateMachine


class Plot(PlotDirective):
    """The directive, on pages of both kinds."""

    def run(self) -> list[nodes.Node]:
        """Draw, and return the code and the picture."""
        if not isinstance(self.state_machine, MockStateMachine):
            return super().run()
        written: list[str] = []
        self.state_machine.insert_input = lambda lines, source: written.extend(lines)
        errors = super().run()
        document = self.state_machine.document
        parsed = new_document(document["source"], document.settings)
        parsed.reporter = document.reporter
        MockRSTParser().parse("\n".join(written), parsed)
        return [*errors, *parsed.children]


def setup(app: Any) -> dict[str, bool]:
    """Put it in place of matplotlib's own."""
    app.setup_extension("matplotlib.sphinxext.plot_directive")
    app.add_directive("plot", Plot, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
