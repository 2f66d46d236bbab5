#!/usr/bin/env python3
"""A table of `thinktune bench --json` (standard input), with the share of the device's peak that its matrix products reach (MFU)."""
import json
import sys

# Dense bf16 products, in TFLOP/s, as NVIDIA's data sheets have them.
PEAKS = {"B200": 2250, "H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "RTX 4090": 165}

result = json.load(sys.stdin)
steps = result["step_s"]
device = result["device"]
peak = next((value for name, value in PEAKS.items() if name in device), None)
print(f"### {sys.argv[1]}\n\n{device}; {len(steps)} steps, {sum(steps) / len(steps):.2f} s each; peak memory of tensors "
      f"{result['device_peak_bytes'] / 1e9:.2f} GB, of the process {result['peak_bytes'] / 1e9:.2f} GB\n")
print("| part | s a step | tokens/s | products alone, s | TFLOP/s | MFU |\n|---|---|---|---|---|---|")
for part in result["parts"]:
    mfu = f"{part['gflops'] / 10 / peak:.1f} %" if peak else "peak not known"
    print(f"| {part['name']} | {part['seconds_a_step']:.2f} | {part['tokens_per_s']:.0f} | {part['products_s_a_step']:.2f} | "
          f"{part['gflops'] / 1000:.2f} | {mfu} |")
print()
