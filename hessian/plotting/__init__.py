"""Pictures: each takes data and returns axes, or the figure where there are several; none is shown or saved unasked."""

from hessian.plotting.alignment import plot_alignment
from hessian.plotting.canvas import COLORS, require_matplotlib
from hessian.plotting.convergence import Record, plot_comparison, plot_convergence
from hessian.plotting.density import plot_density
from hessian.plotting.estimates import plot_estimates
from hessian.plotting.layers import plot_layers
from hessian.plotting.paths import plot_paths
from hessian.plotting.sharpness import plot_sharpness
from hessian.plotting.slices import plot_line, plot_plane
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
    "plot_plane",
    "plot_sharpness",
    "plot_spectrum",
    "require_matplotlib",
]
