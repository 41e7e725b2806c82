"""A two-layer perceptron for any batch size: compiled once, weights bound, checked against NumPy.

python mlp.py
"""

import numpy as np
import tilewright as tw


def mlp(weights, x):
    """Map x [B, 64] to [B, 10]."""
    hidden = tw.nn.gelu(x @ weights["w1"] + weights["b1"], approximate="tanh")
    return hidden @ weights["w2"] + weights["b2"]


rng = np.random.default_rng(0)
weights = {
    "w1": rng.standard_normal((64, 128), dtype="float32") / 8,
    "b1": rng.standard_normal(128, dtype="float32"),
    "w2": rng.standard_normal((128, 10), dtype="float32") / 11,
    "b2": rng.standard_normal(10, dtype="float32"),
}

# Weights are parameters: their shapes are part of the program, their bytes are not.
specs = {name: tw.spec(array.shape, array.dtype) for name, array in weights.items()}
program = tw.jit(mlp, weight_argnums=0).lower(specs, tw.spec((tw.Dim("batch"), 64), "float32")).compile()
classify = program.bind(weights)

for batch in (1, 7, 32):
    x = rng.standard_normal((batch, 64), dtype="float32")
    y = x @ weights["w1"] + weights["b1"]
    y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
    expected = y @ weights["w2"] + weights["b2"]
    error = np.abs(classify(x) - expected).max()
    print(f"batch {batch:2}: largest difference to NumPy {error:.1e}")
    assert error < 1e-4
