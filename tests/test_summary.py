"""The table of a fit: what it says, in text, HTML, LaTeX and pandas, and when it warns or refuses."""

from __future__ import annotations

import html.parser
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

import hessian as hs
from hessian.errors import (
    ConvergenceError,
    MissingDependencyError,
    OptionError,
    ScaleWarning,
    ShapeMismatchError,
)
from hessian.optimize import least_squares, minimize
from hessian.statistics import Summary
from hessian.statistics.terms import missing_factor, terms_of
from hessian.text import latex_number, latex_text

rng = np.random.default_rng(1)
N = 120
X = np.column_stack([np.ones(N), rng.normal(size=N)])
Y = rng.poisson(np.exp(X @ [0.7, 0.4])).astype(float)
TIGHT = {"gtol": 1e-10}


def poisson(p: Any) -> Any:
    return np.exp(X @ p) - Y * (X @ p) + special.gammaln(Y + 1.0)


def total(p: Any) -> Any:
    return np.sum(poisson(p))


@pytest.fixture(scope="module")
def fit() -> Any:
    return minimize(total, np.zeros(2), options=TIGHT)


def test_text(fit: Any) -> None:
    text = repr(fit.summary("HC1", names=["const", "x"], n_obs=N, per_example=poisson))
    assert text.splitlines()[:7] == [
        "Summary of 2 parameters, 120 observations",
        "  status          CONVERGED, trust-exact",
        "  covariance      sandwich (HC1)",
        f"  log-likelihood  {-fit.fun:.4f}",
        f"  AIC             {4.0 + 2.0 * fit.fun:.4f}",
        f"  BIC             {2.0 * np.log(N) + 2.0 * fit.fun:.4f}",
        "",
    ]
    header, *rows = text.splitlines()[7:]
    assert header.split() == ["estimate", "std.", "error", "z", "p", "2.5", "%", "97.5", "%"]
    error = fit.covariance("HC1", n_obs=N, per_example=poisson).standard_error
    for row, name, value, spread in zip(rows, ["const", "x"], fit.x, error, strict=True):
        cells = row.split()
        assert cells[0] == name
        assert len(row) == len(header)
        assert_allclose([float(cells[1]), float(cells[2])], [value, spread], rtol=0, atol=0.006 * spread)
        assert cells[4] == "<0.001"
        ends = stats.norm.interval(0.95, value, spread)
        assert_allclose([float(cells[5]), float(cells[6])], ends, rtol=0, atol=0.006 * spread)
    # Decimal points stand below each other.
    assert len({row.index(".") for row in rows}) == 1


def test_numbers(fit: Any) -> None:
    table = fit.summary(level=0.9)
    error = np.sqrt(np.diag(np.linalg.inv(hs.hessian(total)(fit.x))))
    assert_allclose(table.standard_error, error, rtol=1e-12)
    assert_allclose(table.statistic, fit.x / error, rtol=1e-12)
    assert_allclose(table.pvalue, 2.0 * stats.norm.sf(np.abs(fit.x / error)), rtol=1e-12)
    assert_allclose(table.interval(0.5), stats.norm.interval(0.5, fit.x, error), rtol=1e-12)
    assert (table.n_obs, table.names, table.covariance.kind) == (None, ("x[0]", "x[1]"), "observed")
    assert np.isnan(table.bic)
    assert "BIC" not in repr(table)
    assert "5 %" in repr(table)
    assert "95 %" in repr(table)


def test_containers_keep_their_names_and_structure() -> None:
    res = minimize(lambda p: total(np.stack([p["a"], p["b"][0]])), {"a": 0.0, "b": np.zeros(1)}, options=TIGHT)
    table = res.summary()
    assert table.names == ("a", "b[0]")
    for part in (table.value, table.standard_error, table.statistic, table.pvalue, *table.interval()):
        assert (list(part), np.shape(part["b"])) == (["a", "b"], (1,))
    for names in (["one"], ["same", "same"]):
        with pytest.raises(ShapeMismatchError, match="for 2 parameters"):
            res.summary(names=names)


def test_least_squares_with_a_variance_that_is_known_or_not() -> None:
    y = X @ [1.0, 2.0] + np.sin(np.arange(N))
    res = least_squares(lambda b: X @ b - y, np.zeros(2))
    table = res.summary()
    assert_allclose(table.log_likelihood, np.sum(stats.norm.logpdf(res.fun, scale=np.sqrt(2.0 * res.cost / N))))
    assert_allclose(table.pvalue, 2.0 * stats.t.sf(np.abs(res.x / res.standard_error), N - 2), rtol=1e-10)
    assert "expected information, t of 118 degrees of freedom" in repr(table)
    assert_allclose(table.standard_error, res.standard_error, rtol=1e-13)
    known = res.summary(scale=4.0)
    assert_allclose(known.log_likelihood, np.sum(stats.norm.logpdf(res.fun, scale=0.5)))
    assert "t of" not in repr(known)
    with pytest.raises(OptionError, match="n_obs is 7, there are 120 residuals"):
        res.summary(n_obs=7)
    robust = least_squares(lambda b: X @ b - y, np.zeros(2), loss="huber")
    with pytest.raises(OptionError, match="a robust loss is no likelihood"):
        robust.summary()


class Cells(html.parser.HTMLParser):
    """Texts of the cells of a table, by rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.rows[-1][-1] += data


def test_html_and_latex_say_the_same(fit: Any) -> None:
    table = fit.summary(names=["const & <1>", "x_1"], n_obs=N)
    text = re.sub(r" {2,}", "  ", repr(table)).splitlines()
    rows = Cells(table._repr_html_()).rows
    assert rows[0] == [text[0]]
    assert [row[0].replace(": ", "  ") for row in rows[1:6]] == [line.strip() for line in text[1:6]]
    assert rows[7][0] == "const & <1>"
    assert [row[1:] for row in rows[7:]] == [line.replace("const & <1>", "const").split()[1:] for line in text[8:]]
    latex = table.to_latex().splitlines()
    assert latex[0] == r"\begin{tabular}{lrrrrrr}"
    assert latex[2] == r" & estimate & std. error & $z$ & $p$ & 2.5 \% & 97.5 \% \\"
    assert latex[4].startswith(r"const \& \textless{}1\textgreater{} & $")
    assert latex[5] == "x\\_1 & " + " & ".join(f"${cell}$" for cell in rows[8][1:]) + r" \\"
    assert latex[7].startswith(r"\multicolumn{7}{l}{Observed information, log-likelihood $-$")
    assert [line.count("{") - line.count("}") for line in latex] == [0] * len(latex)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("-1.25", "$-1.25$"), ("1.0e+30", r"$1.0 \times 10^{30}$"), ("inf", "inf"), ("", ""), ("<0.001", "$<0.001$")],
)
def test_numbers_of_latex(cell: str, expected: str) -> None:
    assert latex_number(cell) == expected


def test_text_of_latex() -> None:
    assert latex_text(r"a_1 50 % \x ~ ^ {} -3 b-3") == (
        r"a\_1 50 \% \textbackslash{}x \textasciitilde{} \textasciicircum{} \{\} $-$3 b-3"
    )


def test_data_frame(fit: Any) -> None:
    pandas = pytest.importorskip("pandas")
    table = fit.summary(names=["const", "x"])
    frame = table.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.index) == ["const", "x"]
    assert list(frame.columns) == ["estimate", "std. error", "z", "p", "2.5 %", "97.5 %"]
    assert_array_equal(frame["z"], table.statistic)
    assert_array_equal(frame[["2.5 %", "97.5 %"]], np.column_stack(table.interval()))


def test_data_frame_without_pandas(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match="pip install pandas"):
        fit.summary().to_dataframe()


def test_many_parameters_are_abridged() -> None:
    res = minimize(lambda x: 0.5 * np.sum((x - np.arange(100.0)) ** 2), np.zeros(100))
    table = res.summary()
    lines = repr(table).splitlines()
    assert "  ... 50 more" in lines
    assert lines[-1].split()[0] == "x[99]"
    assert len(lines) == 7 + 51
    assert len(table.to_latex().splitlines()) == 100 + 8
    assert len(Cells(table._repr_html_()).rows) == 1 + 4 + 1 + 51


def test_parameters_on_a_bound_and_held_ones() -> None:
    f = lambda p: total(np.stack([p["a"], p["b"]])) + 0.5 * (p["c"] - 1.0) ** 2
    box = ({"a": -9.0, "b": 0.8, "c": -9.0}, {"a": 9.0, "b": 9.0, "c": 9.0})
    start = {"a": 0.0, "b": 1.0, "c": 0.0}
    res = minimize(f, start, bounds=box, fixed={"c": 0.5}, options={"gtol": 1e-9, "ftol": 0.0})
    table = res.summary(n_obs=N)
    # On the free subspace: a alone.
    assert_allclose(table.standard_error["a"], hs.hessian(f)(res.x)["a"]["a"] ** -0.5, rtol=1e-10)
    assert np.isnan(table.statistic["b"])
    assert np.isnan(table.pvalue["c"])
    assert table.notes == ("a bound holds b: standard errors are those of the other parameters with it known.",)
    assert [line.split()[2:] for line in repr(table).splitlines()[-3:-1]] == [["held"], ["held"]]
    # One that a bound holds was estimated, one that the caller holds was not.
    assert_allclose(table.aic, 4.0 + 2.0 * res.fun)
    assert "a bound holds b" in table.to_latex()
    assert "held & " in table.to_latex()


def test_what_the_data_hardly_determine_is_noted() -> None:
    near = np.column_stack([X[:, 1], X[:, 1] + 0.01 * np.cos(np.arange(N)), X[:, 0]])
    y = near @ [1.0, 1.0, 0.0]
    res = minimize(lambda b: 0.5 * np.sum((near @ b - y) ** 2), np.zeros(3))
    (note,) = res.summary().notes
    assert note.startswith("the data hardly determine 0.71 x[0] - 0.71 x[1]")
    assert "Note: the data hardly determine" in repr(res.summary())


def test_a_run_that_stopped_early_says_so(fit: Any) -> None:
    res = minimize(total, fit.x + 1e-3, options={"maxiter": 0})
    table = res.summary()
    assert "status          MAX_ITERATIONS" in repr(table)
    assert table.notes[0].startswith("the run ended with MAX_ITERATIONS; its point is within a tenth")
    with pytest.raises(ConvergenceError, match="MAX_ITERATIONS"):
        minimize(total, np.zeros(2), options={"maxiter": 1}).summary()


# A scale that was forgotten.


MEANS = {
    "mean": lambda p: np.mean(poisson(p)),
    "method": lambda p: poisson(p).mean(),
    "divided": lambda p: -np.sum(Y * (X @ p) - np.exp(X @ p)) / N,
    "by a dot": lambda p: (np.sum(np.exp(X @ p)) - Y @ (X @ p)) / N,
    "half a mean of squares": lambda p: 0.5 * np.mean((X @ p - Y) ** 2),
    "squares over 2 n": lambda p: np.sum((X @ p - Y) ** 2) / (2 * N),
    "average": lambda p: np.average(poisson(p)),
    "multiplied": lambda p: (1.0 / N) * total(p),
    "with a penalty": lambda p: np.mean(poisson(p)) + 1e-3 * np.sum(p**2),
    "of rows": lambda p: np.sum(np.stack([np.exp(X @ p), -Y * (X @ p)], axis=1)) / N,
    "mean of sums": lambda p: np.mean(np.sum(np.stack([np.exp(X @ p), -Y * (X @ p)], axis=1), axis=1)),
    "mean by columns": lambda p: np.sum(np.mean(np.stack([np.exp(X @ p), -Y * (X @ p)], axis=1), axis=0)),
}


@pytest.mark.parametrize("name", MEANS)
def test_a_mean_without_its_scale_is_told(name: str) -> None:
    res = minimize(MEANS[name], np.zeros(2), options=TIGHT)
    with pytest.warns(ScaleWarning, match=f"summary: f is the mean of {N} terms.* pass scale={N}"):
        table = res.summary()
    assert table.notes[-1].startswith(f"f is the mean of {N} terms")
    scaled = res.summary(scale=N)
    assert scaled.notes == ()
    assert_allclose(scaled.standard_error, table.standard_error / np.sqrt(N), rtol=1e-9)


def test_a_sum_with_a_scale_that_it_does_not_need_is_told(fit: Any) -> None:
    with pytest.warns(ScaleWarning, match=f"scale \\* f is {N} times the sum of its terms: pass scale=1"):
        fit.summary(scale=N)
    recorded = minimize(hs.record(lambda p: np.mean(poisson(p))), np.zeros(2), options=TIGHT)
    with pytest.warns(ScaleWarning, match=f"mean of {N} terms"):
        recorded.summary()


SUMS = {
    "sum": total,
    "half a sum of squares": lambda p: 0.5 * np.sum((X @ p - Y) ** 2),
    "by a dot": lambda p: 0.5 * (X @ p - Y) @ (X @ p - Y),
    "penalty that is a mean": lambda p: total(p) + np.mean(np.concatenate([p, p]) ** 2),
    "penalty as long as the data": lambda p: total(p) + np.mean((X @ p) ** 2),
    "by einsum": lambda p: np.einsum("i->", poisson(p)),
    "logarithm of a mean": lambda p: 0.5 * N * np.log(np.mean((X @ p - Y) ** 2)),
    "with constants": lambda p: 3.0 + total(p) - 2.0 / 3.0,
    "one number": lambda p: (p[0] - 1.0) ** 2 + (p[1] - 2.0) ** 2 / 2.0,
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_are_let_be(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        minimize(SUMS[name], np.ones(2), options=TIGHT).summary()


def test_terms_of_a_function() -> None:
    f = lambda p, weight: np.sum(p**2) / 4.0 - weight * np.sum(np.sin(p)[:2]) + 2.0 / p[0] + (+p[1])
    found = terms_of(f, np.ones(4), (0.5,))
    assert sorted((terms.size, terms.weight) for terms in found) == [(2, -0.5), (4, 0.25)]
    assert missing_factor(found, 1.0) == (4, 4.0)
    assert missing_factor([], 1.0) is None


# Zero-inflated counts, whose standard errors statsmodels takes from a Hessian without the block between the two parts.


def test_zero_inflated_poisson_equals_differences() -> None:
    y = np.where(np.arange(N) % 4 == 0, 0.0, Y)

    def nll(p: Any) -> Any:
        eta, odds = X @ p["beta"], X @ p["gamma"]
        zero = np.logaddexp(odds, -np.exp(eta))
        count = eta * y - np.exp(eta) - special.gammaln(y + 1.0)
        return np.sum(np.logaddexp(0.0, odds) - np.where(y == 0.0, zero, count))

    res = minimize(nll, {"beta": np.zeros(2), "gamma": np.zeros(2)}, options=TIGHT)
    table = res.summary(n_obs=N)
    x = np.concatenate([res.x["beta"], res.x["gamma"]])
    flat = lambda v: nll({"beta": v[:2], "gamma": v[2:]})
    h, steps = 2e-3, np.eye(4) * 2e-3

    def second(i: int, j: int, t: float) -> float:
        a, b = t * steps[i], t * steps[j]
        return (flat(x + a + b) - flat(x + a - b) - flat(x - a + b) + flat(x - a - b)) / (4.0 * t * t * h * h)

    # Extrapolated twice, which leaves an error of the sixth order.
    halves = [np.array([[second(i, j, t) for j in range(4)] for i in range(4)]) for t in (1.0, 2.0, 4.0)]
    once = [(4.0 * halves[k] - halves[k + 1]) / 3.0 for k in range(2)]
    H = (16.0 * once[0] - once[1]) / 15.0
    error = np.sqrt(np.diag(np.linalg.inv(H)))
    assert_allclose(np.concatenate([table.standard_error["beta"], table.standard_error["gamma"]]), error, rtol=1e-6)
    assert table.names == ("beta[0]", "beta[1]", "gamma[0]", "gamma[1]")
    assert isinstance(table, Summary)


def test_what_was_unpickled_is_given_the_function_again(fit: Any) -> None:
    import pickle

    again = pickle.loads(pickle.dumps(fit))
    with pytest.raises(OptionError, match="does not know the function"):
        again.summary()
    weighted = lambda p, weight: weight * total(p)
    assert_array_equal(again.summary(fun=weighted, args=1.0).standard_error, fit.summary().standard_error)
    with pytest.raises(OptionError, match="level is 2"):
        fit.summary(level=2)
    with pytest.raises(OptionError, match="scale is 0"):
        fit.summary(scale=0)
    with pytest.raises(OptionError, match=r"n_obs is 1\.5"):
        fit.summary(n_obs=1.5)


# Functions of the parameters.


def test_transformed_parameters(fit: Any) -> None:
    table = fit.summary(n_obs=N).transformed(lambda p: {"rate": np.exp(p[0]), "ratio": np.exp(p[1])})
    error = np.exp(fit.x) * fit.covariance().standard_error
    assert table.names == ("rate", "ratio")
    assert_allclose([*table.standard_error.values()], error, rtol=1e-12)
    assert_allclose(table.pvalue["rate"], 2.0 * stats.norm.sf(np.exp(fit.x[0]) / error[0]), rtol=1e-10)
    assert_allclose([end["ratio"] for end in table.interval()], stats.norm.interval(0.95, np.exp(fit.x[1]), error[1]))
    assert repr(table).startswith("Summary of 2 derived quantities, 120 observations")
    assert (
        table.notes[-1] == "these are functions of the parameters, with errors by the delta method; tests are of zero."
    )
    assert table.log_likelihood == -fit.fun
    one = fit.summary().transformed(lambda p, at: p[0] + at * p[1], 0.5, names=["at one half"])
    assert "Summary of 1 derived quantity" in repr(one)
    direction = np.array([1.0, 0.5])
    assert_allclose(one.standard_error, np.sqrt(direction @ fit.covariance().matrix @ direction), rtol=1e-12)
    assert fit.summary().transformed(lambda p: p[::-1]).names == ("f[0]", "f[1]")
    assert fit.summary().transformed(lambda p: p[0]).names == ("f",)
    assert fit.summary().transformed(lambda p: p[0], names="intercept").names == ("intercept",)
    with pytest.raises(ShapeMismatchError, match="2 names, 2 of them different, for 1 parameters"):
        fit.summary().transformed(lambda p: p[0], names=["a", "b"])


def test_transformed_parameters_of_least_squares_and_stationary_ones() -> None:
    y = X @ [1.0, 2.0] + np.sin(np.arange(N))
    res = least_squares(lambda b: X @ b - y, np.zeros(2))
    centre = res.x.copy()
    table = res.summary().transformed(
        lambda b: {"same": b[0], "square": np.sum((b - centre) ** 2), "curved": b[0] ** -9}
    )
    reach = stats.t.ppf(0.975, N - 2) * res.standard_error[0]
    assert_allclose([end["same"] for end in table.interval()], [res.x[0] - reach, res.x[0] + reach], rtol=1e-12)
    # A square is not below zero, and is not tested.
    assert table.interval()[0]["square"] >= 0.0
    assert np.isnan(table.pvalue["square"])
    assert any(re.match(r"curvature adds .* standard errors to the mean of curved\.", note) for note in table.notes)
    # What is known is not tested either.
    known = res.summary().transformed(lambda b: np.stack([b[0], 3.0 + 0.0 * b[0]]))
    assert (known.standard_error[1], np.isnan(known.statistic[1])) == (0.0, True)


def test_names_that_begin_like_arguments_of_latex(fit: Any) -> None:
    lines = fit.summary(names=["[a]", "*b"]).to_latex().splitlines()
    assert [line[:5] for line in lines[4:6]] == ["{}[a]", "{}*b "]


def test_extreme_numbers() -> None:
    f = lambda p: 0.5 * np.sum(((p - np.array([1e15, 1e-15])) / np.array([0.5, 1e-21])) ** 2)
    rows = repr(minimize(f, [1e15, 1e-15]).summary()).splitlines()[-2:]
    assert rows[0].split()[1:4] == ["1.0000000000000000e+15", "0.500", "2e+15"]
    assert rows[1].split()[1:4] == ["1.00000000e-15", "1.00e-21", "1e+06"]
    exact = least_squares(lambda p: p - np.array([1.0, 2.0]), np.zeros(2)).summary("HC0")
    assert exact.log_likelihood == np.inf
    assert np.isnan(exact.pvalue).all()


def test_the_table_of_the_readme() -> None:
    """Its example is run as a doctest; this is what it would show."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    dose, counts = np.arange(10.0), np.array([2.0, 1.0, 3.0, 2.0, 5.0, 4.0, 7.0, 9.0, 8.0, 14.0])

    def nll(p: Any) -> Any:
        log_rate = p["const"] + p["slope"] * dose
        return np.sum(np.exp(log_rate) - counts * log_rate)

    assert repr(minimize(nll, {"const": 0.0, "slope": 0.0}).summary(n_obs=10)) in readme
