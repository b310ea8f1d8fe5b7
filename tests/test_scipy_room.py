"""The mirror of SciPy: its own objects under its names, and twins where it lets no traced value in."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.special

import hessian as hs
from hessian.errors import LeavesTapeError
from hessian.rules.twins import MODULES, TWINS, twin_of


def test_a_name_that_has_no_twin_is_scipys_own_object():
    assert hs.scipy.linalg.svdvals is scipy.linalg.svdvals
    assert hs.scipy.optimize is scipy.optimize
    assert hs.scipy.special.gammaln is scipy.special.gammaln


def test_special_is_one_module_under_two_names():
    import hessian.special

    assert hs.special is hs.scipy.special is hessian.special


@pytest.mark.parametrize("module", sorted(MODULES - {"scipy"}))
def test_a_mirror_has_all_names_of_the_module(module):
    mirror, original = importlib.import_module(f"hessian.{module}"), importlib.import_module(module)
    assert set(dir(original)) <= set(dir(mirror))
    with pytest.raises(AttributeError, match="has no attribute 'logsumexxp'"):
        _ = mirror.logsumexxp
    for name in getattr(original, "__all__", ()):
        assert hasattr(mirror, name)


@pytest.mark.parametrize("module", sorted(TWINS))
def test_the_table_of_twins_is_that_of_the_modules(module):
    mirror, original = importlib.import_module(f"hessian.{module}"), importlib.import_module(module)
    assert tuple(sorted(mirror.__all__)) == TWINS[module]
    for name in mirror.__all__:
        assert getattr(mirror, name) is not getattr(original, name)
        assert twin_of(f"{module}.{name}") == f"hessian.{module}.{name}"


def test_importing_the_package_loads_no_module_of_scipy_that_a_twin_needs():
    code = "import sys, hessian; print([m for m in ('stats', 'signal', 'integrate', 'fft') if f'scipy.{m}' in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_error_of_the_original_names_the_twin():
    with pytest.raises(LeavesTapeError, match=r"Use hessian\.scipy\.special\.logsumexp, which takes"):
        hs.grad(scipy.special.logsumexp)(np.ones(3))


def test_zeta_in_both_arguments():
    zeta = hs.scipy.special.zeta
    assert zeta(2.0) == scipy.special.zeta(2.0)
    x = np.array([2.2, 3.5, 7.0])
    np.testing.assert_array_equal(hs.vjp(lambda x: zeta(x, 0.4), x)[0], scipy.special.zeta(x, 0.4))
    np.testing.assert_allclose(hs.grad(zeta)(0.5), -3.92264613920915, rtol=1e-12)
    hs.check_derivatives(lambda x: np.sum(zeta(x)) + np.sum(zeta(x, x / 2)), x)


A, B = np.array([0.3, -1.2, 2.0]), np.array([2.0, -0.5, 1.5])


def test_logsumexp_with_weights_and_sign():
    twin = hs.scipy.special.logsumexp
    for b in (B, -B, np.array([1.0, 0.0, 2.0])):
        value, sign = twin(A, b=b, return_sign=True)
        wanted = scipy.special.logsumexp(A, b=b, return_sign=True)
        assert (value, sign) == wanted
        f = lambda x, b=b: twin(x[0], b=b * x[1], return_sign=True)[0] * twin(x[0], b=b, return_sign=True)[1]
        hs.check_derivatives(f, np.stack([A, np.ones(3)]))
        traced, _ = hs.value_and_grad(f)(np.stack([A, np.ones(3)]))
        np.testing.assert_allclose(traced, wanted[0] * wanted[1], rtol=1e-14)
    gradient = hs.grad(lambda x: twin(x, b=[1.0, 0.0, 2.0]))(np.array([0.5, np.inf, 0.0]))
    np.testing.assert_allclose(gradient, np.array([np.exp(0.5), 0.0, 2.0]) / (np.exp(0.5) + 2), rtol=1e-14)
    assert np.isnan(hs.value_and_grad(lambda x: twin(x, b=-1.0))(A)[0])
    value, sign = twin(A, return_sign=True)
    assert (value, sign) == (scipy.special.logsumexp(A), 1.0)
