"""Measurements of the library against its peers, a hand-written R-operator and bare matrix products."""
