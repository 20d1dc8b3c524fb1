"""Looking at rows past the product, and setting them, for tests that arrange or check what stands in the database."""

from __future__ import annotations

from abc import ABC, abstractmethod

from app.db.pool import Database, Row


class Rows(ABC):
    """Statements on committed rows; the class that mixes it in says which database."""

    @property
    @abstractmethod
    def db(self) -> Database: ...

    def rows(self, statement: str, *values: object) -> list[Row]:
        """Every row of a query."""
        with self.db.connection() as conn:
            return conn.execute(statement.encode(), values).fetchall()

    def one(self, statement: str, *values: object) -> Row:
        """The only row of a query."""
        [row] = self.rows(statement, *values)
        return row

    def execute(self, statement: str, *values: object) -> None:
        """A statement that answers nothing."""
        with self.db.connection() as conn:
            conn.execute(statement.encode(), values)
