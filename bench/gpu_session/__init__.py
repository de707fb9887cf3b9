"""Measures engine, labeling and training on a GPU in one command, in less than nine minutes.

    python -m bench.gpu_session pack --text DIR --out build/gpu-session       on a machine with the package, once
    python -m bench.gpu_session run --pack build/gpu-session --json OUT --table OUT.md      on the GPU machine
    python -m bench.gpu_session run --pack build/gpu-session --device cpu --small           a short test on a CPU

The GPU machine needs this repository, the pack (at most 64 MiB) and torch 2.11 or newer, transformers, tokenizers, safetensors,
numpy and pyarrow. It needs neither Ray nor pydantic, and no network. The models have the shape of XLM-R-large with random
weights, and the weights of the embedded encoder.

Each part runs in a process of its own with a time limit (`parts.py`). A measurement that fails is recorded with its error. The
JSON has a key for each part, and each part has `measurements`:

    machine    the GPU and the versions
    matmul     TFLOP/s of a large matrix product, by precision
    engine     token ids on the host to probabilities on the host, by token budget
    precision  the same in fp16 and bf16, with the number of values that are not finite
    attention  forward passes alone: padded with a mask, without a mask, unpadded, compiled
    labeling   text to columns, as an actor does it, with and without the untrained similarity
    pipeline   `transformers.pipeline` at its best batch size, and the tagger on the same sentences
    training   tokens per second of the training loop
    resume     a training that is interrupted and continued, against one that is not

`busy` is the share of the time in which the device runs a forward pass. TFLOP/s count tokens without padding.
"""
