"""What a job keeps of the records that the vendor returned: which of them, and what of each. Pure and without I/O.

The order is fixed: window and condition are judged on the record as the vendor sent it, then the fields are chosen,
then null fields are dropped. Chosen fields come in the order in which they were asked for, without spaces between them.
All else is never decoded and written anew: every byte of it, and of every value, is the vendor's.
"""

from app.domain.selection.applying import Record, Selected, Selection
from app.domain.selection.fields import Fields
from app.domain.selection.window import InvalidWindowError, Window, window_of

__all__ = ["Fields", "InvalidWindowError", "Record", "Selected", "Selection", "Window", "window_of"]
