#!/usr/bin/env python3
"""Writes variants.json: logits of small models in the forms that published goldens do not have (soft caps, longrope, partial and
linear rope, windows in some layers), by transformers in f32 with eager attention.

Weights are not stored: they are a function of a tensor's name and an element's number (here `fill`, in
tests/model/variants_test.cpp the same), exact in f32.

    scripts/setup.sh --python && ~/.cache/thinktune/python/bin/python tests/model/data/make_variants.py
"""
import json
import pathlib
import zlib

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

COMMON = dict(vocab_size=40, hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, bos_token_id=1,
              eos_token_id=2, pad_token_id=0)
FACTORS = dict(short_factor=[1.0, 1.1, 1.3, 1.7, 2.0, 2.5], long_factor=[1.0, 1.5, 2.5, 4.0, 6.0, 8.0])
CONFIGS = {
    "gemma2": dict(COMMON, model_type="gemma2", num_hidden_layers=3, head_dim=12, query_pre_attn_scalar=20,
                   attn_logit_softcapping=1.5, final_logit_softcapping=3.0, sliding_window=5, max_position_embeddings=64),
    "gemma3_linear": dict(COMMON, model_type="gemma3_text", num_hidden_layers=3, head_dim=12, query_pre_attn_scalar=20,
                          sliding_window=5, max_position_embeddings=64,
                          layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                          rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
                                               sliding_attention=dict(rope_type="default", rope_theta=1e4))),
    "phi3_longrope": dict(COMMON | dict(hidden_size=64), model_type="phi3", num_hidden_layers=2, partial_rotary_factor=0.75,
                          max_position_embeddings=64, original_max_position_embeddings=16, rope_theta=10000.0,
                          rope_scaling=dict(type="longrope", **FACTORS), sliding_window=7, tie_word_embeddings=True),
    "qwen2_windows": dict(COMMON, model_type="qwen2", num_hidden_layers=3, use_sliding_window=True, sliding_window=6,
                          max_window_layers=1, max_position_embeddings=64, rope_theta=1e6),
    "llama_linear": dict(COMMON, model_type="llama", num_hidden_layers=2, max_position_embeddings=64, rope_theta=10000.0,
                         rope_scaling=dict(type="linear", factor=4.0)),
}
# Number of tokens of each sequence; longrope has one on either side of the original length.
LENGTHS = {"phi3_longrope": [13, 24]}


def fill(name, shape, is_norm, plus_one):
    h = np.arange(np.prod(shape), dtype=np.uint64) * 0x9E3779B1 + zlib.crc32(name.encode())
    for multiplier, shift in ((0x85EBCA77, 15), (0xC2B2AE3D, 13)):
        h = ((h & 0xFFFFFFFF) ^ ((h & 0xFFFFFFFF) >> shift)) * multiplier
    h &= 0xFFFFFFFF
    unit = (h >> 8).astype(np.float64) / 2**23 - 1  # in [-1, 1)
    values = unit * 0.5 + (0 if plus_one else 1) if is_norm else unit * 0.25
    return torch.tensor(values.astype(np.float32)).reshape(shape)


def main():
    torch.set_num_threads(1)
    cases = []
    for name, fields in CONFIGS.items():
        fields = dict(fields)
        model_type = fields.pop("model_type")
        config = AutoConfig.for_model(model_type, **fields)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
        with torch.no_grad():
            for tensor_name, parameter in model.named_parameters():
                parameter.copy_(fill(tensor_name, tuple(parameter.shape), tensor_name.endswith("norm.weight"),
                                     model_type.startswith("gemma")))
            for tokens in LENGTHS.get(name, [24]):
                ids = [(i * i * 7 + 3 * i + 5) % COMMON["vocab_size"] for i in range(tokens)]
                logits = model(torch.tensor([ids])).logits[0]
                cases.append(dict(name=name, config=dict(fields, model_type=model_type), ids=ids,
                                  logits=[[float(f"{x:.7g}") for x in row] for row in logits.tolist()]))
    out = dict(transformers=transformers.__version__, torch=torch.__version__, cases=cases)
    path = pathlib.Path(__file__).with_name("variants.json")
    path.write_text(json.dumps(out, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
    print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
