"""The witness: a process of its own that notices when a log forgets or changes its past.

It speaks c2sp.org/tlog-witness; docs/witness.md says how it is run and what it proves.
"""
