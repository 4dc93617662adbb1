"""Values, names, hashes and errors that every room shares.

In: plain data. Out: frozen types and checked names. It never touches disk, clock, network or
randomness, and imports nothing but the standard library and msgspec.
"""

__all__ = ["digests", "errors", "examples", "interactions", "manifests", "names", "tables"]
