"""Runs in an environment with nothing but NumPy, SciPy and this package, as a wheel or a source archive brought it."""

import subprocess
import sys
from importlib.metadata import version

import numpy as np

import hessian as hs
from hessian.errors import MissingDependencyError

EXTRAS = ("matplotlib", "sklearn", "tqdm", "threadpoolctl", "pytest", "jax")
assert not any(map(sys.modules.get, EXTRAS)), "an optional package was imported"
assert version("hessian") == hs.__version__
assert "site-packages" in hs.__file__, f"{hs.__file__} is not what was installed"


def loss(x):
    return np.sum(x**4) + np.prod(x)


x = np.array([1.0, 2.0])
np.testing.assert_allclose(hs.hessian(loss)(x), [[12.0, 1.0], [1.0, 48.0]])
np.testing.assert_allclose(hs.HessianOperator(loss, x) @ x, [14.0, 97.0])
res = hs.optimize.minimize(lambda x: np.sum((x - 1.0) ** 2), x)
assert res.success
assert np.allclose(res.x, 1.0)
assert "x[0]" in str(res.summary()), "a table of the fit"
assert abs(float(hs.curvature.trace(hs.HessianOperator(loss, x)).value) - 60.0) < 1e-9
fit = hs.nn.train(hs.nn.mlp((1, 1)), x[:, None], 2.0 * x[:, None], loss="squared_error")
assert fit.success


def missing(call, extra):
    """A missing package is one sentence with the command that brings it."""
    said = ""
    try:
        call()
    except MissingDependencyError as error:
        said = str(error)
    assert f'pip install "hessian[{extra}]"' in said, said or f"nothing was missing without the extra {extra}"
    assert "\n" not in said, said


missing(lambda: hs.plotting.plot_spectrum(hs.curvature.eigenvalues(np.eye(3))), "plot")
missing(lambda: hs.optimize.minimize(loss, x, options={"progress": True}), "train")
missing(lambda: hs.nn.NewtonMLPClassifier, "train")
run = lambda *words: subprocess.run([sys.executable, "-m", "hessian", *words], capture_output=True, text=True)
asked = run("train", "digits")
assert asked.returncode, "a training without scikit-learn succeeds"
assert asked.stderr.count("\n") == 1, asked.stderr
assert 'pip install "hessian[' in asked.stderr, asked.stderr
assert run("--version").stdout.strip().endswith(hs.__version__)
print(f"hessian {hs.__version__} on Python {sys.version.split()[0]}, NumPy {np.__version__}: nothing else is installed")
