"""The revisions of the database, in order."""

HEAD = "0005"
"""The revision that this release needs; a test compares it with the scripts."""
