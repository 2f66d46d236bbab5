#!/usr/bin/env python3
"""Converts models with `thinktune convert` and lets transformers and llama.cpp judge the result.

  scripts/setup.sh --python
  $THINKTUNE_CACHE/python/bin/pip install llama-cpp-python==0.3.36     # built from source; without it that half is left out
  $THINKTUNE_CACHE/python/bin/python scripts/check_conversions.py --golden ../shared/golden --model MODEL.gguf

- Each small model of the goldens as a Hugging Face folder (f32): transformers' logits against the golden's.
- Each of them as GGUF (f32), with a tokenizer of bytes made here: llama.cpp's greedy ids against the golden's; and from that GGUF as a
  folder again, whose config.json is then all ours: transformers' logits once more.
- MODEL (an instruct model) as GGUF in four types: llama.cpp's greedy ids against those of `thinktune generate` on the same file.

Exit code 1 if transformers differs by more than 1e-4, or llama.cpp where it computes the same formula on the same numbers (f32).
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

PROMPTS = ["Tom has 3 apples and buys 4 more. How many apples has he now?", "What is the capital of France?",
           "Write one sentence about the sea."]
NEW_TOKENS = 24


def convert(thinktune, *arguments):
    done = subprocess.run([thinktune, "convert", *map(str, arguments)], capture_output=True, text=True)
    notes = [line for line in done.stderr.splitlines() if "warn" in line or line.startswith("error")]
    return done.returncode == 0, " ".join(notes)


def difference_in_transformers(folder, golden):
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    batch = next(b for b in golden["batches"] if b["padding"] == "none")
    with torch.no_grad():
        logits = loaded.eval()(torch.tensor(batch["input_ids"])).logits
    difference = float((logits - torch.tensor(batch["logits"])).abs().max())
    return difference <= 1e-4, f"{type(loaded).__name__}, largest difference of a logit {difference:.1e}"


def check_with_transformers(thinktune, model, golden, scratch):
    ok, notes = convert(thinktune, model, scratch / "folder", "--dtype", "f32", "--max-shard-mb", 1)
    return difference_in_transformers(scratch / "folder", golden) if ok else (False, notes)


def check_gguf_and_back(thinktune, model, golden, scratch):
    ok, notes = convert_with_tokenizer(thinktune, model, scratch)
    if not ok:
        return None, notes
    ok, notes = convert(thinktune, scratch / "model.gguf", scratch / "back", "--dtype", "f32")
    return difference_in_transformers(scratch / "back", golden) if ok else (False, notes)


def tokenizer_of_bytes(vocab_size):
    """A tokenizer.json with `vocab_size` tokens: all bytes, and special ones before and behind them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet, extra = {}, 256
    for byte in range(256):
        alphabet[byte] = chr(byte) if byte in printable else chr(extra)
        extra += byte not in printable
    special = ["<pad>", "<s>", "</s>"] + [f"<unused{i}>" for i in range(vocab_size - 259)]
    tokens = special[:3] + [alphabet[byte] for byte in range(256)] + special[3:]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": level,
            "post_processor": None, "decoder": level,
            "added_tokens": [{"id": tokens.index(t), "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True} for t in special],
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                      "vocab": {t: i for i, t in enumerate(tokens)}, "merges": []}}


def llama_greedy(model, ids, count):
    import llama_cpp
    import numpy
    llama = llama_cpp.Llama(str(model), n_ctx=512, n_threads=2, type_k=0, type_v=0, verbose=False)  # 0: f32 keys and values
    llama.eval(ids)
    new = []
    for _ in range(count):
        logits = numpy.ctypeslib.as_array(llama_cpp.llama_get_logits(llama.ctx), shape=(llama.n_vocab(),))
        new.append(int(logits.argmax()))
        llama.eval([new[-1]])
    return new


def convert_with_tokenizer(thinktune, model, scratch):
    folder = scratch / "with_tokenizer"
    shutil.copytree(model, folder)
    config = json.loads((model / "config.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_of_bytes(config["vocab_size"])))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return convert(thinktune, folder, scratch / "model.gguf", "--dtype", "f32")


def check_with_llama_cpp(thinktune, model, golden, scratch):
    ok, notes = convert_with_tokenizer(thinktune, model, scratch)
    if not ok:
        return None, notes
    greedy, equal, total = golden["greedy"], 0, 0
    for ids, mask, expected in zip(greedy["input_ids"], greedy["attention_mask"], greedy["new_tokens"]):
        got = llama_greedy(scratch / "model.gguf", [i for i, m in zip(ids, mask) if m], len(expected))
        equal += sum(1 for a, b in zip(got, expected) if a == b)
        total += len(expected)
    return equal == total or ("window" in notes and None), f"{equal} of {total} greedy ids equal {notes}"


def check_instruct_model(thinktune, model, scratch):
    all_equal = True
    for dtype in ("f32", "bf16", "f16", "q8_0"):
        out = scratch / f"{dtype}.gguf"
        ok, notes = convert(thinktune, model, out, "--dtype", dtype)
        if not ok:
            print(f"  {dtype}: {notes}")
            return False
        lines = []
        for prompt in PROMPTS:
            command = [thinktune, "generate", "--model", out, "--prompt", prompt, "--ids", "--precision", "f32", "--max-new-tokens",
                       str(NEW_TOKENS)]
            mine = [int(i) for i in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]
            import llama_cpp
            llama = llama_cpp.Llama(str(out), n_ctx=512, n_threads=2, verbose=False)
            text = llama_cpp.llama_chat_format.Jinja2ChatFormatter(
                template=llama.metadata["tokenizer.chat_template"], eos_token="", bos_token="")(
                    messages=[{"role": "user", "content": prompt}]).prompt
            ids = llama.tokenize(text.encode(), add_bos=False, special=True)
            theirs = llama_greedy(out, ids, len(mine))
            lines.append(sum(1 for a, b in zip(mine, theirs) if a == b) / len(mine))
        print(f"  {dtype}: greedy ids equal to llama.cpp's on the same file: " + ", ".join(f"{x:.0%}" for x in lines))
        all_equal &= dtype != "f32" or all(x == 1 for x in lines)
    return all_equal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thinktune", default="build/release/bin/thinktune")
    parser.add_argument("--golden", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, help="an instruct model for llama.cpp")
    arguments = parser.parse_args()
    try:
        import llama_cpp
        print(f"llama-cpp-python {llama_cpp.__version__}")
        has_llama = True
    except ImportError:
        has_llama = False
        print("llama-cpp-python is not installed: its half is left out")

    failed = []
    for folder in sorted(p for p in (arguments.golden / "tiny_models").iterdir() if p.is_dir()):
        golden = json.loads((folder / "golden.json").read_text())
        checks = [("transformers", check_with_transformers), ("GGUF and back", check_gguf_and_back)]
        checks += [("llama.cpp", check_with_llama_cpp)] if has_llama else []
        for name, check in checks:
            with tempfile.TemporaryDirectory() as scratch:
                ok, note = check(arguments.thinktune, folder, golden, pathlib.Path(scratch))
            print(f"{folder.name:20} {name:13} {'equal' if ok else '-' if ok is None else 'DIFFERS'}  {note}")
            if ok is False:
                failed.append((folder.name, name))
    if arguments.model and has_llama:
        print(arguments.model)
        with tempfile.TemporaryDirectory() as scratch:
            if not check_instruct_model(arguments.thinktune, arguments.model, pathlib.Path(scratch)):
                failed.append((str(arguments.model), "llama.cpp"))
    if failed:
        sys.exit(f"differs: {failed}")


if __name__ == "__main__":
    main()
