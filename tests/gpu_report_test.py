#!/usr/bin/env python3
"""The report of scripts/gpu_check.sh from outputs as they were recorded: sections that passed, failed, hung, wrote nonsense."""
import json
import pathlib
import subprocess
import sys
import tempfile

root = pathlib.Path(sys.argv[1])
PROGRAM = [sys.executable, str(root / "scripts" / "gpu_report.py")]

ABOUT = "# thinktune on NVIDIA H100 80GB HBM3, 81559 MiB, 580.159.04\n\n    thinktune 0.9.0, CUDA 13.0, 1 GPU\n"
PASSED = """[==========] Running 3 tests from 2 test suites.
[ RUN      ] OperationsCuda.RmsNorm
[       OK ] OperationsCuda.RmsNorm (512 ms)
[ RUN      ] OperationsCuda.Rope
[       OK ] OperationsCuda.Rope (44 ms)
[ RUN      ] Device.OpensAGpu
tests/ops/device_test.cpp:20: Skipped
one GPU only
[  SKIPPED ] Device.OpensAGpu (0 ms)
[  PASSED  ] 2 tests.
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Device.OpensAGpu
"""
FAILED = """[ RUN      ] EngineCuda.ChangedWeightsShow
tests/infer/engine_cuda_test.cpp:112: Failure
Expected equality of these values:
[  FAILED  ] EngineCuda.ChangedWeightsShow (93 ms)
[ RUN      ] EngineCuda.SlotsAndMemoryDoNotShow
[       OK ] EngineCuda.SlotsAndMemoryDoNotShow (80 ms)
[  FAILED  ] 1 test, listed below:
[  FAILED  ] EngineCuda.ChangedWeightsShow
error: exit status 1
"""
BENCH = {
    "model": "SmolLM2", "step_s": [4.61, 4.99], "device": "NVIDIA H100 80GB HBM3 (cuda:0, 79.2 GiB)", "peak_bytes": 2_100_000_000,
    "device_peak_bytes": 3_456_000_000, "device_reserved_bytes": 4_100_000_000, "product_gflops": 204000.0, "ready_s": 2.0,
    "parts": [
        {"name": "sample", "seconds_a_step": 1.9, "tokens_per_s": 4081.2, "products_s_a_step": 0.21, "gflops": 1100.0},
        {"name": "update", "seconds_a_step": 2.75, "tokens_per_s": 5210.0, "products_s_a_step": 1.2, "gflops": 207000.0}]}
METRICS = [
    {"step": 1, "time/step_s": 6.1, "time/sample_s": 2.2, "time/update_s": 2.9, "time/tokens_per_s": 1803.7, "mismatch/max": 0.11, "loss/policy": 0.5},
    {"step": 2, "time/step_s": 5.2, "time/sample_s": 2.0, "time/update_s": 2.8, "time/checkpoint_s": 0.7, "time/tokens_per_s": 1999.1, "mismatch/max": 0.3, "loss/policy": 0.4}]

problems = []


def expect(condition, what):
    if not condition:
        problems.append(what)


def report_of(sections, files):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "about.txt").write_text(ABOUT)
        (folder / "sections.tsv").write_text("".join("\t".join(s) + "\n" for s in sections))
        for file, text in files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text)
        done = subprocess.run([*PROGRAM, name], capture_output=True, text=True)
        expect(done.stderr == "", f"it said: {done.stderr}")
        return done.returncode, (folder / "report.md").read_text()


lines = "".join(json.dumps(row) + "\n" for row in METRICS)
well = [("test", "operations", "passed", "12", "every operation"), ("test", "ranks", "left out", "0", "one GPU"),
        ("run", "run", "passed", "31", "first steps"), ("bench", "bench_small", "passed", "25", "SmolLM2, 8 × 8")]
files = {"operations.log": PASSED, "run.log": "", "run/metrics.jsonl": lines, "bench_small.json": json.dumps(BENCH), "bench_small.log": ""}
code, text = report_of(well, files)
expect(code == 0, "a report without a failure has exit status 0")
expect("NVIDIA H100 80GB HBM3, 81559 MiB" in text and "none of 4 sections failed" in text, "what it is, and the verdict")
expect("| operations | passed | 2 tests, 1 skipped | 12 | every operation |" in text, "tests are counted, skipped ones too")
expect("| ranks | left out |  | 0 | one GPU |" in text, "what was left out, and why")
expect("| 2 | 5.2 | 2 | 2.8 | 0.7 | 1999 | 0.3 |" in text, "a step's phases")
expect("| update | 2.75 | 5210 | 1.20 | 207.00 | 20.9 % |" in text, "tokens/s and MFU of 989 TFLOP/s")
expect("2 steps, 4.80 s each; peak memory of tensors on the device 3.46 GB, held for them 4.10 GB, of the process 2.10 GB" in text, "memory")
expect("Failures" not in text, "no failures")

code, text = report_of([*well, ("test", "engine", "failed", "9", "tokens"), ("test", "training", "failed", "900", "whole runs")],
                       {**files, "engine.log": FAILED, "training.log": "computing\nerror: exit status 124, timed out after 900 s\n"})
expect(code == 1, "a failure has exit status 1")
expect("2 of 6 sections failed" in text and "| engine | **failed** | 1 tests, 1 failed | 9 | tokens |" in text, "failed sections")
expect("engine_cuda_test.cpp:112: Failure" in text and "timed out after 900 s" in text, "what failed")
expect("| update | 2.75 |" in text, "what was measured beside failures is there")

for nonsense in ("", "{", json.dumps({**BENCH, "step_s": []}), json.dumps({"parts": []})):
    code, text = report_of(well, {**files, "bench_small.json": nonsense})
    expect(code == 1 and "cannot be read" in text and "| run | passed |" in text, f"a bench that wrote {nonsense[:9]!r} has failed")
code, text = report_of([], {})
expect(code == 1 and "nothing was run" in text, "a check of nothing has failed")

for device, peak in (("NVIDIA H100 PCIe (cuda:0)", "27.4"), ("NVIDIA H200 (cuda:0)", "20.9"), ("CPU", "peak not known")):
    _, text = report_of(well, {**files, "bench_small.json": json.dumps({**BENCH, "device": device})})
    expect(f"| 207.00 | {peak}" in text, f"the peak of {device}")

with tempfile.TemporaryDirectory() as name:
    for run, row in (("a", METRICS[0]), ("b", {**METRICS[0], "time/step_s": 9}), ("c", {**METRICS[0], "loss/policy": 0.50001})):
        (pathlib.Path(name) / run).mkdir()
        (pathlib.Path(name) / run / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    same = [subprocess.run([*PROGRAM, "--same-step", f"{name}/a", f"{name}/{other}"], capture_output=True, text=True) for other in "bc"]
    expect(same[0].returncode == 0, "times may differ")
    expect(same[1].returncode == 1 and "loss/policy" in same[1].stdout, "a loss may not")
    # Of the same rollouts an update is the same; where rollouts parted it cannot be.
    for run, text in (("a", "four"), ("b", "four"), ("c", "four")):
        (pathlib.Path(name) / run / "rollouts").mkdir()
        (pathlib.Path(name) / run / "rollouts" / "step-1.jsonl").write_text(json.dumps({"text": text}) + "\n")
    (pathlib.Path(name) / "b" / "metrics.jsonl").write_text(json.dumps({**METRICS[0], "mismatch/max": 0.12}) + "\n")
    same = [subprocess.run([*PROGRAM, "--same-update", f"{name}/a", f"{name}/{other}"], capture_output=True, text=True) for other in "bc"]
    expect(same[0].returncode == 0, "the sampler's last bits may differ")
    expect(same[1].returncode == 1 and "loss/policy" in same[1].stdout, "a loss of the same rollouts may not")
    (pathlib.Path(name) / "c" / "rollouts" / "step-1.jsonl").write_text(json.dumps({"text": "for"}) + "\n")
    parted = subprocess.run([*PROGRAM, "--same-update", f"{name}/a", f"{name}/c"], capture_output=True, text=True)
    expect(parted.returncode == 0 and "1 rollouts, 1 parted" in parted.stdout, "other rollouts give another loss")
    for run in "ac":
        (pathlib.Path(name) / run / "rollouts" / "step-1.jsonl").write_text("")
    none = subprocess.run([*PROGRAM, "--same-update", f"{name}/a", f"{name}/c"], capture_output=True, text=True)
    expect(none.returncode == 1 and "no rollouts" in none.stdout, "nothing was compared")

print("\n".join(problems) or "the report says what it must")
sys.exit(1 if problems else 0)
