#!/usr/bin/env python3
"""Compares the verdicts of `thinktune eval` with math-verify's, item by item, on the same generations.

  thinktune eval --model MODEL --suite math500,gsm8k --data-dir DATA --out runs/eval
  scripts/setup.sh --checker
  $THINKTUNE_CACHE/checker/bin/python scripts/check_eval.py runs/eval/math500 runs/eval/gsm8k

Ours is the lenient verdict (the answer in any form), math-verify's is verify(parse("$gold$"), parse(text)) with its
defaults. Prints the share of items on which both agree, and every other one. Exit code 1 if an item differs.
"""
import argparse
import json
import pathlib
import sys

from math_verify import parse, verify


def verdict_of_math_verify(gold, text):
    extracted = parse(text)
    return bool(extracted) and bool(verify(parse(f"${gold}$"), extracted)), [str(e) for e in extracted[:2]]


def check(folder):
    rows = [json.loads(line) for line in (folder / "samples.jsonl").open(encoding="utf-8")]
    num_right = num_theirs = 0
    differing = []
    for row in rows:
        ours = row["lenient"]["verdict"] == "right" if isinstance(row["lenient"], dict) else row["lenient"] == "right"
        theirs, extracted = verdict_of_math_verify(row["gold"], row["text"])
        num_right += ours
        num_theirs += theirs
        if ours != theirs:
            differing.append((row, ours, extracted))
    print(f"{folder}: {len(rows)} samples, right by us {num_right}, by math-verify {num_theirs}, "
          f"the same verdict on {len(rows) - len(differing)}")
    for row, ours, extracted in differing:
        print(f"  {row['id']} sample {row['sample']}: ours {'right' if ours else 'not right'}; gold {row['gold']!r}, "
              f"math-verify read {extracted}; the text ends in {row['text'][-120:]!r}")
    return len(differing)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path, help="suite folders of an evaluation")
    arguments = parser.parse_args()
    return 1 if sum(check(folder) for folder in arguments.folders) else 0


if __name__ == "__main__":
    sys.exit(main())
