#!/usr/bin/env python3
"""Loads a checkpoint in transformers as it is and compares its greedy text with `thinktune generate`.

  scripts/setup.sh --python
  $THINKTUNE_CACHE/python/bin/python scripts/check_checkpoint.py runs/quickstart/checkpoints/step-30

Both compute in f32. Exit code 1 if a token differs where transformers' two likeliest tokens are more than 0.002 apart.
"""
import argparse
import subprocess
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

PROMPTS = [
    "Tom has 3 apples and buys 4 more. How many apples has he now?",
    "There are 6 boxes with 7 eggs in each. How many eggs are there in all?",
    "A rope is 21 meters long. Eva cuts off 8 meters. How many meters are left?",
    "What is the capital of France?",
    "Write a haiku about rain — in ASCII, and one with an ümlaut.",
]
MARGIN = 0.002  # two f32 computations of the same logits differ by less


def greedy(model, tokenizer, prompt, max_new_tokens):
    """Token ids, and for each how far its logit is above the second one's."""
    encoded = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        out = model.generate(**encoded, max_new_tokens=max_new_tokens, do_sample=False, output_scores=True,
                             return_dict_in_generate=True)
    ids = out.sequences[0, encoded["input_ids"].shape[1]:].tolist()
    margins = [(top[0] - top[1]).item() for top in (score[0].topk(2).values for score in out.scores)]
    return ids, margins


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--thinktune", default="build/release/bin/thinktune")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    arguments = parser.parse_args()

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(arguments.checkpoint, dtype=torch.float32, local_files_only=True).eval()
    wrong = 0
    for prompt in PROMPTS:
        theirs, margins = greedy(model, tokenizer, prompt, arguments.max_new_tokens)
        printed = subprocess.run(
            [arguments.thinktune, "generate", "--model", arguments.checkpoint, "--prompt", prompt, "--precision", "f32", "--ids",
             "--max-new-tokens", str(arguments.max_new_tokens)], check=True, capture_output=True, text=True).stdout
        ours = [int(word) for word in printed.split()]
        differs = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)
        if differs is None and len(ours) != len(theirs):
            differs = min(len(ours), len(theirs))
        if differs is None:
            verdict = f"the same {len(ours)} tokens"
        else:
            tie = differs < len(margins) and margins[differs] < MARGIN
            verdict = f"differs at token {differs}" + (" (a tie)" if tie else "")
            wrong += not tie
        print(f"{verdict}: {tokenizer.decode(theirs)!r}")
    print("equal" if not wrong else f"{wrong} of {len(PROMPTS)} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
