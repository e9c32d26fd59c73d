"""What runs on the inside: standard library only, started by path in a bare interpreter.

`boot.py` is started by a bare interpreter that cannot see mull; it makes this directory importable
under its own name and serves jobs. Everything a hostile program may reach is in these files.
"""
