#!/usr/bin/env python3
"""Every *_test.cpp and *_fuzz.cpp on disk is part of the build, and ctest knows every test in them."""
import json
import pathlib
import re
import subprocess
import sys

root, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
compiled = {pathlib.Path(entry["file"]).resolve() for entry in json.loads((build / "compile_commands.json").read_text())}
listed = json.loads(subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, capture_output=True, text=True, check=True).stdout)
names = {test["name"] for test in listed["tests"]}

problems, found = [], 0
for file in sorted((root / "tests").rglob("*_test.cpp")):
    if file.resolve() not in compiled:
        problems.append(f"{file.relative_to(root)} is not part of the build")
    room = file.parent.name
    text = file.read_text()
    for kind, suite, name in re.findall(r"^(TEST|TEST_F|TYPED_TEST|TEST_P)\(\s*(\w+),\s*(\w+)\s*\)", text, re.M):
        found += 1
        if name.startswith("DISABLED_") or suite.startswith("DISABLED_"):
            problems.append(f"{file.relative_to(root)}: {suite}.{name} is disabled")
        if kind in ("TEST", "TEST_F") and f"{room}.{suite}.{name}" not in names:
            problems.append(f"{file.relative_to(root)}: ctest does not know {room}.{suite}.{name}")
        if kind in ("TYPED_TEST", "TEST_P") and not any(n.startswith(f"{room}.") and suite in n and name in n for n in names):
            problems.append(f"{file.relative_to(root)}: ctest knows no instance of {suite}.{name}")
for file in sorted((root / "tests").rglob("*_fuzz.cpp")):
    found += 1
    name = f"fuzz.{file.parent.name}.{file.stem.removesuffix('_fuzz')}"
    if name not in names:
        problems.append(f"ctest does not know {name} of {file.relative_to(root)}")
for file in sorted((root / "tests").glob("*_test.py")):
    found += 1
    if f"house.{file.stem}" not in names:
        problems.append(f"ctest does not know {file.relative_to(root)}")
print("\n".join(problems) or f"{found} tests, all registered")
sys.exit(1 if problems or found == 0 else 0)
