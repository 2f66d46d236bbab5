#!/usr/bin/env python3
"""Reads every #include of the project and fails on one that reaches up, or sideways, in the floors of the house; and on a kernel launched
elsewhere than where launches are checked."""
import pathlib
import re
import sys

FLOORS = {
    "core": 0,
    "kernels": 1, "text": 1, "weights": 1, "comm": 1, "rollout": 1,
    "ops": 2, "reward": 2, "data": 2,
    "model": 3, "algo": 3, "optim": 3,
    "infer": 4, "checkpoint": 4,
    "guidance": 5, "eval": 5, "report": 5,
    "train": 6,
    "cli": 7,
}
WITHOUT_TORCH = {"core", "kernels", "text", "weights", "rollout", "reward", "data", "report"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def room_of(path):
    parts = path.parts
    if parts[0] == "kernels":
        return "kernels"
    if parts[0] == "include":
        return parts[2] if len(parts) > 3 else None
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def main():
    root = pathlib.Path(sys.argv[1])
    files = [p for folder in ("include", "src", "kernels") for ending in ("h", "cpp", "inl", "cu", "cuh") for p in (root / folder).rglob(f"*.{ending}")]
    breaches = []
    for file in sorted(files):
        relative = file.relative_to(root)
        room = room_of(relative)
        if room not in FLOORS:
            breaches.append(f"{relative}: '{room}' is not a room of the house")
            continue
        for name in INCLUDE.findall(file.read_text()):
            parts = name.split("/")
            target = parts[1] if parts[0] == "thinktune" else "kernels" if parts[0] == "kernels" else None
            if target is not None and target != room and not FLOORS.get(target, 99) < FLOORS[room]:
                breaches.append(f"{relative}: {room} (floor {FLOORS[room]}) includes {name} (floor {FLOORS.get(target, '?')})")
            if parts[0] in ("ATen", "torch", "c10") and room in WITHOUT_TORCH:
                breaches.append(f"{relative}: the room {room} knows no torch, but includes {name}")
            if name == "torch/torch.h":
                breaches.append(f"{relative}: includes torch/torch.h, which takes 18 s a file; include the narrow headers")
    # A launch is checked in one place: whoever writes another forgets it.
    texts = [p for folder in ("include", "src", "kernels", "tests") for ending in ("h", "cpp", "inl", "cu", "cuh") for p in (root / folder).rglob(f"*.{ending}")]
    launching = sorted(str(p.relative_to(root)) for p in texts for _ in range(p.read_text().count("<<<")))
    if launching != ["kernels/cuda/device.cuh"]:
        breaches.append(f"<<< stands in {', '.join(launching) or 'no file'}: kernels are launched by launch() of kernels/cuda/device.cuh alone")
    print("\n".join(breaches) or f"{len(files)} files, no breach")
    return 1 if breaches or not files else 0


sys.exit(main())
