"""Models written with the public API, and what runs them: tokenisers, sampling, the generation loop."""
