"""Public callables of NumPy and scipy.special that do not work on traced values, each with its reason and what to write instead."""

from __future__ import annotations

_COMPLEX = "it orders complex numbers"
_OUTSIDE = "call it on plain numbers, outside the differentiated function or on arrays that do not depend on x"
_WHOLE = "it takes whole numbers, which have no derivative"
_NO_NUMBERS = "it is about files, text, dates, memory or settings, not about values"
_SHAPES = "it takes shapes, dtypes or counts, not values"

UNSUPPORTED: dict[str, tuple[str, str]] = {
    "numpy.sort_complex": (_COMPLEX, "`np.sort(x)`"),
    "numpy.asarray_chkfinite": (
        "it looks at plain numbers",
        "`np.asarray(x)`, and `np.isfinite(x).all()` where it matters",
    ),
    "numpy.fromfunction": ("it makes an array of indices", "call the function on `np.indices(shape)`"),
    "numpy.frompyfunc": ("it computes with Python objects", "call the function on arrays"),
    "numpy.nested_iters": ("it gives away memory", "loop over `np.ndindex(x.shape)`"),
    "numpy.asmatrix": ("matrices are not supported", "`np.atleast_2d(x)`"),
    "numpy.bmat": ("matrices are not supported", "`np.block(x)`"),
    "numpy.common_type": (_SHAPES, "`np.result_type(x, y)`"),
    "numpy.require": ("it is about memory", "`np.asarray(x)`"),
    "numpy.iterable": (_SHAPES, "`np.ndim(x) > 0`"),
    "numpy.isfortran": ("it is about memory", "leave it out"),
    **dict.fromkeys(
        [f"numpy.{name}" for name in ("bartlett", "blackman", "hamming", "hanning", "kaiser")],
        ("it makes a window of a given length", _OUTSIDE),
    ),
    **dict.fromkeys(
        ["numpy.fft.fftfreq", "numpy.fft.rfftfreq"], (_SHAPES, f"{_OUTSIDE}; divide by the spacing afterwards")
    ),
    **dict.fromkeys(
        [
            f"numpy.{name}"
            for name in (
                "bitwise_count",
                "bitwise_left_shift",
                "bitwise_right_shift",
                "left_shift",
                "right_shift",
                "gcd",
                "lcm",
                "packbits",
                "unpackbits",
                "base_repr",
                "binary_repr",
                "ravel_multi_index",
                "unravel_index",
            )
        ],
        (_WHOLE, _OUTSIDE),
    ),
    **dict.fromkeys(
        [
            f"numpy.{name}"
            for name in (
                "broadcast_shapes",
                "can_cast",
                "diag_indices",
                "einsum_path",
                "indices",
                "isdtype",
                "issubdtype",
                "mask_indices",
                "mintypecode",
                "promote_types",
                "tril_indices",
                "triu_indices",
                "typename",
            )
        ],
        (_SHAPES, _OUTSIDE),
    ),
    **dict.fromkeys(
        [
            f"numpy.{name}"
            for name in (
                "array2string",
                "array_repr",
                "array_str",
                "busday_count",
                "busday_offset",
                "datetime_as_string",
                "datetime_data",
                "format_float_positional",
                "format_float_scientific",
                "from_dlpack",
                "frombuffer",
                "fromfile",
                "fromregex",
                "fromstring",
                "genfromtxt",
                "get_include",
                "get_printoptions",
                "getbufsize",
                "geterr",
                "geterrcall",
                "info",
                "is_busday",
                "isnat",
                "load",
                "loadtxt",
                "may_share_memory",
                "printoptions",
                "save",
                "savetxt",
                "savez",
                "savez_compressed",
                "set_printoptions",
                "setbufsize",
                "seterr",
                "seterrcall",
                "shares_memory",
                "show_config",
                "show_runtime",
                "test",
            )
        ],
        (_NO_NUMBERS, _OUTSIDE),
    ),
}
"""By public name."""


_THROUGH = "made of functions that are"
_BY_OTHERS = ("assoc_laguerre", "ivp", "jvp", "kvp", "yvp", "perm", "softplus")
_TABLES = ("_zeros", "_roots", "_seq", "_all", "_coef", "_cv")
_OF_ORDERS = """
    bernoulli chebyc chebys chebyt chebyu comb diric ellip_normal euler factorial factorial2 factorialk gegenbauer
    genlaguerre geterr hermite hermitenorm jacobi kelvin laguerre legendre lmbda lqmn lqn riccati_jn
    riccati_yn round seterr sh_chebyt sh_chebyu sh_jacobi sh_legendre stirling2
"""


def of_special(name: str) -> tuple[str, str]:
    """Return why a function of scipy.special is missing and what to write instead; nothing to write where it works through others."""
    if name in _BY_OTHERS:
        return f"{_THROUGH} (in x)", ""
    if name.endswith(_TABLES) or name.startswith("roots_") or name in _OF_ORDERS.split():
        return "it makes numbers, tables or polynomials of whole orders", _OUTSIDE
    spherical = {"spherical_jn": "jv", "spherical_yn": "yv", "spherical_in": "iv", "spherical_kn": "kv"}
    if name in spherical:
        factor = "np.sqrt(np.pi / (2 * x))"
        return "SciPy's own function takes plain arrays", f"`{factor} * scipy.special.{spherical[name]}(n + 0.5, x)`"
    if name.startswith(("hankel", "h1", "h2", "lambertw", "sph_harm", "airye", "modfresnel")):
        return "its values are complex", "the real function beside it, or `hs.custom_rule`"
    return "no rule is declared", f"declare it: `hs.custom_rule(scipy.special.{name}, d1=[...])`"
