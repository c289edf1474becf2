"""Workflows: graphs with typed inputs. Pure: what callers give, where it goes, what is wrong with it.

The way through it::

    specs = workflows.derive(graph, catalog.classes)        # a proposal
    wrong = workflows.violations(specs, graph)              # before they are stored
    binding = workflows.bind(specs, given)                  # when a task is made
    review = workflows.review(graph, fleet, binding.origins)  # never raises
"""

from comfymesh.workflows.binding import Binding, bind
from comfymesh.workflows.checks import violations
from comfymesh.workflows.derivation import derive
from comfymesh.workflows.review import Offered, Review, input_violation, review

__all__ = ["Binding", "Offered", "Review", "bind", "derive", "input_violation", "review", "violations"]
