#!/usr/bin/env python3
"""A model of random weights in the shape of a Llama, as a Hugging Face folder, for measurements where no model is at hand.

It writes bytes at random and never learns anything. Needs nothing but Python.

    scripts/make_random_model.py FOLDER --shape 3b
"""
import argparse
import json
import pathlib
import random
import struct

# Sizes of SmolLM2-135M, the same with half its layers, SmolLM2-360M, and of Llama 3.2 1B and 3B: layers, width, MLP width, heads, kv heads, head size, vocabulary.
SHAPES = {
    "80m": (15, 576, 1536, 9, 3, 64, 49152),
    "135m": (30, 576, 1536, 9, 3, 64, 49152),
    "360m": (32, 960, 2560, 15, 5, 64, 49152),
    "1b": (16, 2048, 8192, 32, 8, 64, 128256),
    "3b": (28, 3072, 8192, 24, 8, 128, 128256),
}
CHAT = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_characters():
    """GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(byte if byte in printable else next(rest)) for byte in range(256)]


def write_tokenizer(folder, size):
    tokens = SPECIAL + byte_characters()
    tokens += [f"<|unused{i}|>" for i in range(len(tokens), size)]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [
        {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i, token in enumerate(SPECIAL)
    ]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocabulary, "merges": []},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": CHAT}))


def normals(count, scale):
    """bf16 numbers, rounded towards zero."""
    source = random.Random(1)
    return b"".join(struct.pack("<f", source.gauss(0, scale))[2:] for _ in range(count))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shape", choices=SHAPES, default="135m")
    arguments = parser.parse_args()
    layers, width, mlp, heads, kv_heads, head, vocabulary = SHAPES[arguments.shape]
    folder = arguments.folder
    folder.mkdir(parents=True)
    write_tokenizer(folder, vocabulary)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocabulary, "hidden_size": width,
        "intermediate_size": mlp, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "hidden_act": "silu",
        "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False, "bos_token_id": 1, "eos_token_id": 2,
        "torch_dtype": "bfloat16"}))
    shapes = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    for i in range(layers):
        layer = f"model.layers.{i}."
        shapes |= {
            layer + "input_layernorm.weight": (width,), layer + "post_attention_layernorm.weight": (width,),
            layer + "self_attn.q_proj.weight": (heads * head, width), layer + "self_attn.k_proj.weight": (kv_heads * head, width),
            layer + "self_attn.v_proj.weight": (kv_heads * head, width), layer + "self_attn.o_proj.weight": (width, heads * head),
            layer + "mlp.gate_proj.weight": (mlp, width), layer + "mlp.up_proj.weight": (mlp, width),
            layer + "mlp.down_proj.weight": (width, mlp),
        }
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = normals(1 << 20, 0.02)  # repeated: the time of a product does not depend on its numbers
    ones = struct.pack("<f", 1.0)[2:]
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            size = header[name]["data_offsets"][1] - header[name]["data_offsets"][0]
            source = ones * (size // 2) if len(shape) == 1 else block
            start = 0 if len(shape) == 1 else 2 * (hash_of(name) % (len(block) // 4))
            while size > 0:
                part = source[start:start + size]
                file.write(part)
                size -= len(part)
                start = 0


def hash_of(name):
    return sum(ord(c) * 31 ** (i % 7) for i, c in enumerate(name))


main()
