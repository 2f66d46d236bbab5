#!/usr/bin/env python3
"""The report of scripts/gpu_check.sh, from the folder that it fills:

    gpu_report.py FOLDER                writes FOLDER/report.md
    gpu_report.py --same-step RUN RUN   whether the first steps of two training runs are the same but for their times
    gpu_report.py --same-update RUN RUN the same, where their rollouts are; says how many are not, and passes then

FOLDER/about.txt     what the report begins with
FOLDER/sections.tsv  a line a section: kind (test, run, bench), name, result (passed, failed, left out), seconds, title or reason
FOLDER/NAME.log      what the section printed; FOLDER/NAME.json: what `thinktune bench --json` printed
FOLDER/NAME/metrics.jsonl: what a training run wrote

A section whose output cannot be read is reported as failed. Exit status 1 if any section failed, or there is none.
"""
import json
import pathlib
import re
import sys

# Dense bf16 products, in TFLOP/s, as NVIDIA's data sheets have them. The longest name that occurs in the device's counts.
PEAKS = {"B200": 2250, "H200": 989, "H100": 989, "H100 PCIe": 756, "A100": 312, "L40S": 362, "L4": 121, "RTX 4090": 165}


def peak_of(device):
    return max(((name, tflops) for name, tflops in PEAKS.items() if name in device), key=lambda p: len(p[0]), default=(None, None))[1]


def bench_table(result, title):
    steps, peak = result["step_s"], peak_of(result["device"])
    lines = [
        f"### {title}", "",
        f"{result['device']}; {len(steps)} steps, {sum(steps) / len(steps):.2f} s each; peak memory of tensors on the device "
        f"{result['device_peak_bytes'] / 1e9:.2f} GB, held for them {result['device_reserved_bytes'] / 1e9:.2f} GB, of the process {result['peak_bytes'] / 1e9:.2f} GB", "",
        "| part | s a step | tokens/s | products alone, s | TFLOP/s | MFU |", "|---|---|---|---|---|---|"]
    for part in result["parts"]:
        mfu = f"{part['gflops'] / 10 / peak:.1f} %" if peak else "peak not known"
        lines.append(f"| {part['name']} | {part['seconds_a_step']:.2f} | {part['tokens_per_s']:.0f} | {part['products_s_a_step']:.2f} | "
                     f"{part['gflops'] / 1000:.2f} | {mfu} |")
    return lines + [""]


def run_table(rows, title):
    columns = {"step": "step", "time/step_s": "s", "time/sample_s": "sampling, s", "time/teacher_s": "teacher, s",
               "time/old_logprobs_s": "old log-probs, s", "time/update_s": "update, s", "time/checkpoint_s": "checkpoint, s",
               "time/tokens_per_s": "tokens/s", "mismatch/max": "largest mismatch, nats"}
    shown = [key for key in columns if any(key in row for row in rows)]
    lines = [f"### {title}", "", "| " + " | ".join(columns[key] for key in shown) + " |", "|" + "---|" * len(shown)]
    for row in rows:
        lines.append("| " + " | ".join(f"{row[key]:.4g}" if key in row else "" for key in shown) + " |")
    return lines + [""]


def tests_in(log):
    """What GoogleTest says of its tests: passed, skipped, failed."""
    return tuple(len(set(re.findall(rf"^\[\s*{word}\s*\] ([\w/]+\.[\w/.]+)", log, re.M))) for word in ("OK", "SKIPPED", "FAILED"))


def first_errors(log, count=5):
    found = [line for line in log.splitlines() if re.search(r"error|Failure|FAILED|stopped:|what\(\)|Segmentation|timed out", line)]
    return (found or log.splitlines()[-count:])[:count]


def read(path):
    return path.read_text(errors="replace") if path.exists() else ""


def main(folder):
    sections = [line.split("\t") for line in read(folder / "sections.tsv").splitlines()]
    tests, details, failures = [], [], []
    for kind, name, result, seconds, title in sections:
        log = read(folder / f"{name}.log")
        try:
            if kind == "bench" and result == "passed":
                details += bench_table(json.loads(read(folder / f"{name}.json")), title)
            metrics = folder / name / "metrics.jsonl"
            if kind == "run" and metrics.exists():
                details += run_table([json.loads(line) for line in read(metrics).splitlines()], title)
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            result, log = "failed", f"error: what it wrote cannot be read: {type(error).__name__}: {error}"
        passed, skipped, failed = tests_in(log)
        counts = f"{passed} tests" + (f", {skipped} skipped" if skipped else "") + (f", {failed} failed" if failed else "")
        tests.append(f"| {name} | {'**failed**' if result == 'failed' else result} | {counts if passed + skipped + failed else ''} | {seconds} | {title} |")
        if result == "failed":
            failures += [f"### {name}", "", f"The whole of it: {name}.log", "", "```", *first_errors(log), "```", ""]
    num_failed = sum(1 for line in tests if "**failed**" in line)
    verdict = f"{num_failed} of {len(tests)} sections failed" if num_failed else f"none of {len(tests)} sections failed" if tests else "nothing was run"
    report = [read(folder / "about.txt").rstrip(), "", f"**{verdict}.**", "", "## Sections", "",
              "| section | result | tests | s | what |", "|---|---|---|---|---|", *tests, ""]
    if failures:
        report += ["## Failures", "", *failures]
    if details:
        report += ["## Times and memory", "", *details]
    (folder / "report.md").write_text("\n".join(report))
    return 1 if num_failed or not tests else 0


def same_step(first, second, ignored="time/"):
    rows = [json.loads(read(pathlib.Path(run) / "metrics.jsonl").splitlines()[0]) for run in (first, second)]
    differing = sorted(key for key in rows[0].keys() | rows[1].keys()
                       if not key.startswith(("time/", ignored)) and rows[0].get(key) != rows[1].get(key))
    for key in differing:
        print(f"error: {key}: {rows[0].get(key)} and {rows[1].get(key)}")
    print(f"{len(rows[0])} metrics, {len(differing)} differ")
    return 1 if differing else 0


def same_update(first, second):
    """Of 1 rank and 2 in a fixed order: the update is the same to the bit, but sampling may part where products round by shape."""
    texts = [[json.loads(line)["text"] for line in read(pathlib.Path(run) / "rollouts" / "step-1.jsonl").splitlines()]
             for run in (first, second)]
    if not texts[0]:
        print("error: there are no rollouts")
        return 1
    parted = sum(a != b for a, b in zip(*texts)) + abs(len(texts[0]) - len(texts[1]))
    print(f"{len(texts[0])} rollouts, {parted} parted")
    return same_step(first, second, ignored="mismatch/") if not parted else 0


if __name__ == "__main__":
    compare = {"--same-step": same_step, "--same-update": same_update}.get(sys.argv[1])
    sys.exit(compare(*sys.argv[2:]) if compare else main(pathlib.Path(sys.argv[1])))
