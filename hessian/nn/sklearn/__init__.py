"""Networks and logistic regression as scikit-learn estimators; ``hessian.nn`` loads them when one is first asked for."""
