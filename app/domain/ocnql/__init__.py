"""OCNQL, the query language of `where` and `q` (reference 6): text to tree, tree to a function over records.

`parse_condition`, `parse_query`   text to tree; raise OcnqlError, which names the position
`compile_condition`                tree to a function over decoded records
`fields_of`, `text_of`             what a tree looks at, and its text again
"""

from app.domain.ocnql.errors import OcnqlError
from app.domain.ocnql.evaluate import compile_condition
from app.domain.ocnql.parser import parse_condition, parse_query
from app.domain.ocnql.printing import text_of
from app.domain.ocnql.tree import (
    And,
    Between,
    Boolean,
    Comparison,
    Condition,
    Date,
    In,
    IsNull,
    Like,
    Not,
    Number,
    Operator,
    Or,
    Query,
    Text,
    Value,
    fields_of,
)

__all__ = [
    "And",
    "Between",
    "Boolean",
    "Comparison",
    "Condition",
    "Date",
    "In",
    "IsNull",
    "Like",
    "Not",
    "Number",
    "OcnqlError",
    "Operator",
    "Or",
    "Query",
    "Text",
    "Value",
    "compile_condition",
    "fields_of",
    "parse_condition",
    "parse_query",
    "text_of",
]
