"""Pictures of data.

Each draws into ``ax``, or into axes of a new figure, and returns them: two where it has two panels. None is shown or saved:
``ax.figure`` shows itself in notebooks and has ``savefig``. Where matplotlib is missing, a ``MissingDependencyError`` names the extra.
"""

from hessian.plotting.alignment import plot_alignment
from hessian.plotting.canvas import COLORS, require_matplotlib
from hessian.plotting.convergence import Record, plot_comparison, plot_convergence
from hessian.plotting.density import plot_density
from hessian.plotting.estimates import plot_estimates
from hessian.plotting.layers import plot_layers
from hessian.plotting.paths import plot_paths
from hessian.plotting.profiles import plot_profile
from hessian.plotting.sharpness import plot_sharpness
from hessian.plotting.slices import plot_line, plot_plane
from hessian.plotting.sparsity import plot_pattern
from hessian.plotting.spectrum import plot_spectrum

__all__ = [
    "COLORS",
    "Record",
    "plot_alignment",
    "plot_comparison",
    "plot_convergence",
    "plot_density",
    "plot_estimates",
    "plot_layers",
    "plot_line",
    "plot_paths",
    "plot_pattern",
    "plot_plane",
    "plot_profile",
    "plot_sharpness",
    "plot_spectrum",
    "require_matplotlib",
]


def __dir__() -> list[str]:
    return sorted(__all__)
