"""What the factors of float32 products may be rounded to: only what was asked for, never by default."""

from __future__ import annotations

from . import errors

__all__ = ["HIGHEST", "PRECISIONS", "check"]

#: Products of the factors as they are.
HIGHEST = "highest"
PRECISIONS = (HIGHEST, "tf32")


def check(name: str, precision: str | None) -> str | None:
    """Return a precision that a user gave; None is what the surroundings ask for.

    Args:
        name: the function that it was given to, for the message.
        precision: as given.

    Raises:
        ArgumentError: it is none of these.
    """
    if precision is not None and precision not in PRECISIONS:
        errors.fail(
            errors.ArgumentError,
            f"{name}: precision={precision!r} does not exist",
            help='"highest" multiplies float32 as it is; "tf32" may round factors to TF32 on a GPU\'s tensor cores.',
        )
    return precision
