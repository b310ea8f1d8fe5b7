"""Faults put into the package by hand, each of which some test must see."""
