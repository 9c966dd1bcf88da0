#!/usr/bin/env python3
"""The fuzzers' corpora as the repository keeps them: tests/fuzz/corpus/TARGET.txt, an input a line, in base64, sorted;
and findings, each a file in tests/fuzz/corpus/TARGET. Packed are the inputs of a minimised corpus from the smallest on,
up to MOST bytes a target.

    tools/corpus.py unpack FOLDER    # FOLDER/TARGET/ gets a file an input
    tools/corpus.py pack FOLDER
"""
import base64
import hashlib
import pathlib
import shutil
import sys

KEPT = pathlib.Path(__file__).resolve().parent.parent / "tests/fuzz/corpus"
TARGETS = ("frame", "message", "batch", "directory", "records")
MOST = 160 << 10


def unpack(folder):
    for packed in sorted(KEPT.glob("*.txt")):
        into = pathlib.Path(folder) / packed.stem
        into.mkdir(parents=True, exist_ok=True)
        for line in packed.read_text().split():
            content = base64.b64decode(line)
            (into / hashlib.sha1(content).hexdigest()).write_bytes(content)
    for finding in KEPT.glob("*/*"):
        into = pathlib.Path(folder) / finding.parent.name
        into.mkdir(parents=True, exist_ok=True)
        shutil.copy(finding, into)


def pack(folder):
    KEPT.mkdir(exist_ok=True)
    for target in TARGETS:
        inputs = sorted((f.read_bytes() for f in (pathlib.Path(folder) / target).glob("*")), key=lambda x: (len(x), x))
        lines, size = [], 0
        for line in (base64.b64encode(content).decode() for content in inputs if content):
            size += len(line) + 1
            if size > MOST:
                break
            lines.append(line)
        (KEPT / f"{target}.txt").write_text("".join(f"{line}\n" for line in sorted(lines)))


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]](sys.argv[2])
