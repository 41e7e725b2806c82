"""Render the chat template of a model file; the template is untrusted code and runs in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ArgumentError, FormatError
from .tokenizer import Tokenizer

# A template makes a prompt from a conversation; one that writes more than this is broken or hostile.
MAX_PROMPT_CHARACTERS = 16 << 20


def render_chat(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True
) -> str:
    """Return the prompt text of a conversation.

    Args:
        tokenizer: of the model; its file holds the template.
        messages: mappings with `role` and `content`, oldest first.
        add_generation_prompt: end with the opening of the assistant's turn.

    Raises:
        ArgumentError: a message without role or content.
        FormatError: the file has no template, or the template fails or refuses the conversation.

    Example:
        >>> render_chat(tokenizer, [{"role": "user", "content": "Hi"}])            # doctest: +SKIP
        '<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n'
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    path = tokenizer.path
    if tokenizer.chat_template is None:
        raise FormatError(
            f"{path}: metadata 'tokenizer.chat_template' is missing: the model has no chat form"
        )
    for index, message in enumerate(messages):
        if not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
            raise ArgumentError(f"chat: message {index} needs the texts 'role' and 'content'")

    def refuse(reason: str) -> None:
        raise TemplateError(str(reason))

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = _to_json
    names = {
        name: tokenizer.tokens[token] if token is not None else ""
        for name, token in (("bos_token", tokenizer.bos), ("eos_token", tokenizer.eos))
    }
    try:
        template = environment.from_string(tokenizer.chat_template)
        pieces, size = [], 0
        for piece in template.generate(
            messages=[dict(m) for m in messages], add_generation_prompt=add_generation_prompt, **names
        ):
            size += len(piece)
            if size > MAX_PROMPT_CHARACTERS:
                raise TemplateError(f"the prompt exceeds {MAX_PROMPT_CHARACTERS} characters")
            pieces.append(piece)
    # Whatever a template does wrong (types, missing names, recursion) is a fault of the file, not of ours.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise FormatError(f"{path}: metadata 'tokenizer.chat_template': {reason}") from None
    return "".join(pieces)


def _to_json(value: Any, indent: int | None = None) -> str:
    """Write JSON as templates expect it: without the HTML escapes of jinja2's own filter."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def encode_chat(tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Return the token ids of a conversation, with one begin token where the file asks for it."""
    text = render_chat(tokenizer, messages)
    ids = tokenizer.encode(text, add_bos=False)
    if tokenizer.add_bos and ids[:1] != [tokenizer.bos]:
        ids = [tokenizer.bos, *ids]
    return ids
