"""Continue a prompt with a language model from a GGUF file; text streams to stdout, figures to stderr."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from ..errors import ArgumentError
from . import memory
from .progress import ProgressLine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("model", metavar="MODEL.gguf", help="the model file (Llama architecture)")
    parser.add_argument("--prompt", required=True, help="the text to continue; - reads it from stdin")
    parser.add_argument(
        "--max-tokens", type=_positive, default=128, metavar="N", help="at most N tokens (128)"
    )
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 is greedy (0)")
    parser.add_argument(
        "--top-k", type=int, default=0, metavar="K", help="keep the K likeliest tokens; 0: all (0)"
    )
    parser.add_argument(
        "--top-p", type=float, default=1.0, metavar="P", help="keep the likeliest of mass P (1)"
    )
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="makes sampling repeatable")
    parser.add_argument(
        "--chat", action="store_true", help="treat the prompt as a user's turn of a conversation"
    )
    parser.add_argument("--system", metavar="TEXT", help="with --chat: the system message")
    parser.add_argument("--ignore-eos", action="store_true", help="go on after the model's end token")
    parser.add_argument("--context", type=_positive, default=None, metavar="N", help="positions of the cache")
    parser.add_argument(
        "--target", metavar="T", help="cpu, or a GPU: cuda, cuda:0 (what TILEWRIGHT_TARGET says, else cpu)"
    )
    parser.add_argument(
        "--activations", choices=("float32", "int8"), default="float32",
        help="int8 rounds what meets quantised weights, and measures the error of that on the prompt (float32)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=_positive, default=None, metavar="N", help="threads (all that are allowed)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, not {text!r}")
    return value


def run(options: argparse.Namespace) -> int:
    """Generate; return the exit code."""
    # Imported late: a mistake in the flags is answered without loading NumPy and the runtime.
    from .. import runtime
    from ..models.language_model import LanguageModel
    from ..models.sampling import Sampling

    sampling = Sampling(options.temperature, options.top_k, options.top_p, options.seed)
    if options.system is not None and not options.chat:
        raise ArgumentError("--system needs --chat")
    text = sys.stdin.read() if options.prompt == "-" else options.prompt
    if options.threads is not None:
        runtime.set_num_threads(options.threads)
    model = LanguageModel(
        options.model,
        context=options.context,
        target=options.target,
        activations=options.activations,
        prepare=False,
    )
    # What can be wrong with the prompt is said before anything takes time.
    prompt = _prompt_ids(model, text, options)
    with ProgressLine(enabled=not options.json) as progress:
        model.prepare(progress)
    result = _stream(model, prompt, sampling, options)
    result |= {
        "compile_s": round(model.compile_s, 4),
        "load_s": round(model.load_s, 4),
        "peak_rss_mb": round(memory.peak() / 2**20, 1),
        "threads": runtime.num_threads(),
    }
    if options.activations != "float32":
        result["activation_error"] = round(model.activation_error(prompt), 6)
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        _summary(result, model.cached)
    return 0


def _prompt_ids(model: Any, text: str, options: argparse.Namespace) -> list[int]:
    if options.chat:
        from ..models.chat import encode_chat

        system = [{"role": "system", "content": options.system}] if options.system is not None else []
        ids = encode_chat(model.tokenizer, [*system, {"role": "user", "content": text}])
    else:
        ids = model.tokenizer.encode(text)
    if not ids and model.tokenizer.bos is not None:
        # An empty prompt still needs a token to start from.
        ids = [model.tokenizer.bos]
    if not ids:
        raise ArgumentError("the prompt is empty, and the model has no begin token to start from")
    if len(ids) > model.context:
        raise ArgumentError(
            f"the prompt has {len(ids)} tokens but the context {model.context} positions",
            help="shorten the prompt, or give more room with --context.",
        )
    return ids


def _stream(model: Any, prompt: list[int], sampling: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Generate and print; return ids, text and rates."""
    decoder = model.tokenizer.stream()
    pieces: list[str] = []
    tokens: list[int] = []

    def show(piece: str) -> None:
        pieces.append(piece)
        if not options.json:
            print(piece, end="", flush=True)

    started = first = time.perf_counter()
    for token in model.generate(
        prompt, max_tokens=options.max_tokens, sampling=sampling, ignore_eos=options.ignore_eos
    ):
        if not tokens:
            first = time.perf_counter()
        tokens.append(token)
        show(decoder.push(token))
    ended = time.perf_counter()
    show(decoder.finish())
    if not options.json:
        print(flush=True)
    if not tokens:
        first = ended
    # The first token comes out of the prompt's pass; each further one is a step of its own.
    steps = model.length - len(prompt)
    return {
        "prompt_ids": prompt,
        "token_ids": tokens,
        "text": "".join(pieces),
        "prefill_tokens_per_s": _rate(len(prompt), first - started),
        "decode_tokens_per_s": _rate(steps, ended - first),
    }


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 2) if count and seconds > 0 else 0.0


def _summary(result: dict[str, Any], cached: bool) -> None:
    """Print what the run cost, on stderr, so that stdout is the text alone."""
    how = "loaded from the cache" if cached else "compiled"
    lines = [
        f"programs {how} in {result['compile_s']:.2f} s, weights read and packed in {result['load_s']:.2f} s",
        f"prefill  {len(result['prompt_ids']):5d} tokens  {result['prefill_tokens_per_s']:8.1f} tokens/s",
        f"decode   {len(result['token_ids']):5d} tokens  {result['decode_tokens_per_s']:8.1f} tokens/s",
        f"peak memory {result['peak_rss_mb']:.0f} MB, {result['threads']} threads",
    ]
    if "activation_error" in result:
        lines.append(
            f"int8 activations move the logits after the prompt by {result['activation_error']:.2%} (2-norm)"
        )
    print("\n" + "\n".join(lines), file=sys.stderr)
