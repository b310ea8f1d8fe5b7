"""The public rooms and, for each, its names grouped by purpose: the order of the reference. ``tests/test_docs.py`` holds it against
``__all__``."""

GROUPS: dict[str, dict[str, str]] = {
    "hessian": {
        "Derivatives": "grad value_and_grad jacobian hessian",
        "Products with directions": "hvp grad_and_hvp jvp vjp",
        "Higher orders, diagonal and trace": "directional taylor third_derivative hessian_diagonal laplacian",
        "Recording and memory": "record RecordedFunction checkpoint",
        "Operators": (
            "HessianOperator GaussNewtonOperator JacobianOperator FisherOperator EmpiricalFisherOperator KFACOperator"
            " RestrictedOperator ChunkedOperator"
        ),
        "Equations and minima inside a function": "root fixed_point argmin",
        "Rules of your own": "custom_rule check_rule",
        "Checks and errors": "check_derivatives DerivativeReport locate_nonfinite HessianError",
        "Rooms": "optimize statistics curvature sparse operators nn plotting scipy special __version__",
    },
    "hessian.optimize": {
        "Solvers": "minimize least_squares",
        "Equations and minima inside a function": "root fixed_point argmin",
        "Results": "OptimizeResult Status IterationRecord SaddleRecord",
        "Derivatives for other solvers": "derivatives",
        "Histories": "format_history write_history",
    },
    "hessian.statistics": {
        "Tables, covariances, intervals": (
            "Summary covariance least_squares_covariance constrained_covariance Covariance ConfidenceIntervals"
        ),
        "Derived quantities": "delta_method DerivedQuantity",
        "Tests of hypotheses": "likelihood_ratio_test wald_test HypothesisTest",
        "Profile likelihoods": "profile Profile",
        "Laplace's approximation": "laplace Laplace Prediction ClassPrediction",
        "Influence of observations": "influence leverage ExampleScores WeakDirection",
    },
    "hessian.curvature": {
        "In one call": "summary CurvatureSummary",
        "Eigenvalues and directions": (
            "eigenvalues Eigenpairs inertia Inertia condition_number ConditionNumber negative_curvature NegativeCurvature"
        ),
        "Traces, diagonals, norms": (
            "trace diagonal frobenius_norm logdet quadratic_form gauss_newton_diagonal per_example PerExample Estimate"
        ),
        "Densities, blocks, functions of the matrix": (
            "spectral_density SpectralDensity block_spectra BlockSpectrum matrix_function MatrixFunction inverse_product"
            " InverseProduct nystrom NystromApproximation"
        ),
        "Geometry of a loss": (
            "line_slice LineSlice plane_slice PlaneSlice eigen_directions random_directions Direction gradient_alignment Alignment"
        ),
        "Sharpness along training": "sharpness_along SharpnessMeter SharpnessTrace edge_of_stability",
    },
    "hessian.sparse": {
        "Sparse derivatives": "hessian jacobian",
        "Sparse plus low rank": "split_hessian SparsePlusLowRank",
        "Patterns": "SparsityPattern",
    },
    "hessian.operators": {
        "Curvature": "HessianOperator GaussNewtonOperator FisherOperator EmpiricalFisherOperator KFACOperator",
        "Jacobians": "JacobianOperator",
        "Parts and blocks": "RestrictedOperator ChunkedOperator named_blocks",
        "Algebra": "SumOperator ScaledOperator DampedOperator InverseOperator MatrixOperator",
        "Diagonal and trace": "hessian_diagonal laplacian",
    },
    "hessian.nn": {
        "Networks": "mlp sequential Network Sequential",
        "Layers": "Dense Convolution Pooling Flatten Reshape Recurrent Function",
        "Losses and scores": "softmax_cross_entropy squared_error l2_penalty accuracy r2 get_loss LOSSES",
        "Training": "train TrainingResult TrainingObjective BATCH_METHODS",
        "Activations and starts": "get_activation get_initializer ACTIVATIONS INITIALIZERS",
        "scikit-learn estimators": "NewtonMLPClassifier NewtonMLPRegressor NewtonLogisticRegression",
    },
    "hessian.plotting": {
        "Runs": "plot_convergence plot_comparison plot_paths Record",
        "Spectra": "plot_spectrum plot_density plot_estimates plot_layers plot_pattern",
        "Geometry of a loss": "plot_line plot_plane plot_alignment plot_sharpness",
        "Statistics": "plot_profile",
        "Colors and the package": "COLORS require_matplotlib",
    },
    "hessian.programs": {"Recorded functions": "record RecordedFunction Statistics"},
    "hessian.transforms": {
        "Derivatives": "grad value_and_grad jacobian hessian hvp grad_and_hvp jvp vjp directional taylor third_derivative",
        "Checks": "check_derivatives DerivativeReport locate_nonfinite",
    },
    "hessian.rules": {
        "Kinds of operations": "Elementwise Linear Bilinear General Nondifferentiable",
        "Registry": "OPERATIONS DISPATCH",
        "States of an argument": "ZERO NONDIFF MISSING",
    },
    "hessian.tape": {"Tracing": "trace Trace Tape Variable", "Sweeps": "Dual Linearization"},
    "hessian.errors": {
        "What you asked for": (
            "HessianError ShapeMismatchError DtypeError NotScalarError OptionError PickleError CheckpointError MissingDependencyError"
        ),
        "What the function does": (
            "MissingRuleError LeavesTapeError StaleVariableError StaleRecordingError ReadOnlyError NonFiniteError"
            " UndefinedDerivativeError DerivativeCheckError"
        ),
        "What a run reaches": "ConvergenceError TooDenseError",
        "Warnings": "ScaleWarning IntervalWarning ProgramWarning CheckpointWarning",
    },
    "hessian.scipy": {},
}
"""Rooms under ``hessian.scipy`` follow SciPy's order, and have one group."""

INSIDE = (
    *("compiled_product", "diagonal_products", "few_products", "kinked_slopes", "makes_dense", "origin_of_nonfinite"),
    *("parts", "sparse_by", "sparse_by_few", "split_by", "structure"),
    *("remember", "remember_bounds", "remember_constraints"),
)
"""Methods by which solvers and estimators ask operators, and fill results; they are no part of what users are promised."""

TITLES = {
    "hessian": "Derivatives, recording, operators",
    "hessian.optimize": "Solvers and their results",
    "hessian.statistics": "Standard errors, intervals, tests",
    "hessian.curvature": "Curvature, every number with its error",
    "hessian.sparse": "Sparse Hessians and Jacobians",
    "hessian.operators": "SciPy linear operators",
    "hessian.nn": "Networks and training",
    "hessian.plotting": "Pictures",
    "hessian.scipy": "SciPy under SciPy's names",
    "hessian.errors": "Errors and warnings",
    "hessian.programs": "Recorded functions",
    "hessian.transforms": "Derivatives, where they are written",
    "hessian.rules": "Declarations of operations",
    "hessian.tape": "Tape and sweeps",
}
