"""What of a condition a vendor is told, in its own form.

The whole condition is applied to the records afterwards all the same (`app.domain.ocnql.compile_condition`). So a
vendor that ignores a filter, or takes more than was asked for, costs transfer and nothing else. One that takes *less*
would lose records: only the operators that a connector declares are pushed, of the values whose meaning is sure.
"""

from app.connectors.pushdown.pushed import Pushed, pushed

__all__ = ["Pushed", "pushed"]
