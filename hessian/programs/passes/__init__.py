"""Passes of the compiler: sections in, sections out."""
