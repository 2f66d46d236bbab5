#!/usr/bin/env python3
"""What a training step costs, by rollouts, by response length and by model size: three tables in Markdown.

    scripts/cost_curves.py BINARY MODEL PROMPTS.jsonl [--folder FOLDER] [--curve rollouts|length|size] [--steps N]

MODEL is SmolLM2-135M; models of other sizes are made of random weights (scripts/make_random_model.py) in FOLDER. Every answer takes
its whole length (bench --ignore-eos), and every group is in the update (a small entropy bonus), so that the work is known
beforehand. Needs nothing but Python; ten minutes to half an hour on two cores.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

CONFIG = pathlib.Path(__file__).resolve().parent.parent / "configs" / "bench_grpo_step.json"


def bench(binary, model, prompts, steps, settings):
    command = [binary, "bench", "--config", str(CONFIG), "--ignore-eos", "--json", "--steps", str(steps)]
    for key, value in {"model": model, "data.generator": "none", "data.train_file": prompts, "loss.entropy_coefficient": 0.0001,
                       **settings}.items():
        command += ["--set", f"{key}={value}"]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {part["name"]: part["seconds_a_step"] for part in result["parts"]} | {
        "step": sum(result["step_s"]) / len(result["step_s"]), "memory": result["peak_bytes"] / 1e9
    }


def table(title, unit, rows):
    """rows: (label, amount of the unit, times), one after the other: each is printed as it comes."""
    print(f"\n| {title} | sampling, s | update, s | step, s | sampling a {unit}, ms | update a {unit}, ms | memory, GB |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for label, amount, times in rows:
        print(f"| {label} | {times['sample']:.2f} | {times['update']:.2f} | {times['step']:.2f} | "
              f"{1000 * times['sample'] / amount:.1f} | {1000 * times['update'] / amount:.1f} | {times['memory']:.2f} |",
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("model")
    parser.add_argument("prompts")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--curve", choices=("rollouts", "length", "size"), help="this one alone")
    parser.add_argument("--steps", type=int, default=2, help="measured after a first one")
    args = parser.parse_args()

    def run(model=args.model, **settings):
        return bench(args.binary, model, args.prompts, args.steps, {key.replace("__", "."): value for key, value in settings.items()})

    def of_rollouts():
        for prompts in (4, 8, 16, 32):
            yield 8 * prompts, 8 * prompts, run(rollout__prompts_per_step=prompts, update__mini_batch_prompts=prompts,
                                                rollout__max_new_tokens=64)

    def of_length():
        for tokens in (32, 64, 128, 256):
            yield tokens, tokens, run(rollout__max_new_tokens=tokens)

    def of_size():
        for shape, millions in (("80m", 81.4), ("135m", 134.5), ("360m", 361.8)):
            model = pathlib.Path(args.folder) / f"thinktune-random-{shape}"
            if not (model / "config.json").exists():
                maker = pathlib.Path(__file__).with_name("make_random_model.py")
                subprocess.run([sys.executable, str(maker), str(model), "--shape", shape], check=True)
            # Its tokens are bytes: prompts are longer, and the same for each size.
            yield f"{millions:.0f} million", millions, run(model=str(model), rollout__max_new_tokens=64,
                                                           prompt__max_prompt_tokens=2000)

    curves = {"rollouts": ("rollouts of 64 tokens", "rollout", of_rollouts()),
              "length": ("tokens a response, 64 rollouts", "token", of_length()),
              "size": ("parameters, 64 rollouts of 64 tokens", "million", of_size())}
    for name, curve in curves.items():
        if args.curve in (None, name):
            table(*curve)


if __name__ == "__main__":
    main()
