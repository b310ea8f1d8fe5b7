"""Training on batches of rows: Hessian-free optimisation, first-order methods, and the loop around them."""
