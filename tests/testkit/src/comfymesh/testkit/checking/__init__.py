"""Judges a history by the promises P1 to P5 of the design. Pure: it knows neither the mesh nor the clock."""

from comfymesh.testkit.checking.checker import Verdict, check
from comfymesh.testkit.checking.violations import Promise, Violation

__all__ = ["Promise", "Verdict", "Violation", "check"]
