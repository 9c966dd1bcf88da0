#!/usr/bin/env python3
"""The schema compiler: reads engine/schema (notation: docs/protocol.md), writes C++ structs, straight-line codecs and descriptors.

    schemac.py SCHEMA_FOLDER OUTPUT_FOLDER       writes the files that changed
    schemac.py SCHEMA_FOLDER --outputs           prints the names it would write, relative to OUTPUT_FOLDER
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from schema import cpp_codec, cpp_descriptor, cpp_struct, notation  # noqa: E402

CODEC_UNITS = 8
DESCRIPTOR_UNITS = 2


def spread(files, units):
    """Splits the schema files over compilation units of about the same weight."""
    bins = [[] for _ in range(units)]
    for f in sorted(files, key=lambda f: (-f.weight(), f.header)):
        min(bins, key=lambda b: sum(x.weight() for x in b)).append(f)
    return [sorted(b, key=lambda f: f.header) for b in bins]


def outputs(files):
    coded = [f for f in files if f.messages]
    out = {f.header: cpp_struct.header(f) for f in coded}
    for i, part in enumerate(spread(coded, CODEC_UNITS)):
        out[f"engine/protocol/codec_{i}.cc"] = cpp_codec.unit(part)
    for i, part in enumerate(spread(coded, DESCRIPTOR_UNITS)):
        out[f"engine/protocol/descriptors_{i}.cc"] = cpp_descriptor.unit(part)
    out["engine/protocol/api_keys.h"] = cpp_descriptor.api_keys(files)
    out["engine/protocol/tables.cc"] = cpp_descriptor.tables(files)
    return out


def main():
    schema, target = pathlib.Path(sys.argv[1]), sys.argv[2]
    files = notation.load(schema)
    written = outputs(files)
    if target == "--outputs":
        print("\n".join(written))
        return
    for name, text in written.items():
        path = pathlib.Path(target, name)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except notation.SchemaError as e:
        sys.exit(f"schemac: {e}")
