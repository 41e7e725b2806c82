"""What the GPUs of this machine say to the compiler: their architecture, and who assembles for them."""

from __future__ import annotations

from collections.abc import Iterable

from . import ptxas

__all__ = ["architecture", "assembler"]


def architecture(device: int | None, known: Iterable[str]) -> str | None:
    """Return the architecture to compile for on a GPU: its own, or the newest one that it runs.

    Args:
        device: its number; None is the first one.
        known: architectures that there are, such as sm_90a.

    Returns:
        None if there is no such GPU.
    """
    from ...runtime import devices

    capability = devices.architecture(device)
    if capability is None:
        return None
    number = 10 * capability[0] + capability[1]
    names = set(known)
    if f"sm_{number}a" in names:
        return f"sm_{number}a"
    # Code with the letter runs on that very architecture only.
    older = [int(name[3:]) for name in names if name[3:].isdigit() and int(name[3:]) <= number]
    return f"sm_{max(older)}" if older else None


def assembler(device: int | None) -> ptxas.Assembler | None:
    """Return who turns PTX into machine code; None leaves that to the driver, or to a machine with a GPU."""
    from ...runtime import devices

    return None if devices.architecture(device) is None else ptxas.find()
