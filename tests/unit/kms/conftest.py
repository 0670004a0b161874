"""Fixtures that tests of several providers share."""

from tests.unit.kms.bao import bao
from tests.unit.kms.softhsm import softhsm

__all__ = ["bao", "softhsm"]
