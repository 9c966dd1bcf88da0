#!/usr/bin/env python3
"""Looks for what would make a run of engine/ or sim/ depend on more than its tape. Lexical, so it errs on the loud side.

A line that must stay says why in a comment with the words `deterministic:`.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RULES = [
    (r"\bunordered_(map|set|multimap)\b", "iteration order is not determined"),
    (r"\bstd::(mt19937|random_device|minstd_rand|uniform_\w+_distribution|shuffle)\b", "chance enters by the tape"),
    (r"\b(rand|srand|random|drand48)\s*\(", "chance enters by the tape"),
    (r"\bstd::chrono::\w*clock\b|\bclock_gettime\b|\bgettimeofday\b|\btime\s*\(\s*(nullptr|NULL|0)\s*\)", "clocks"),
    (r"\bstd::(map|set|multimap)<\s*(const\s+)?[\w:]+\s*\*", "pointers have no order"),
    (r"\bstd::hash<", "differs between libraries"),
    (r"\bthread_local\b|\bstd::thread\b|\bstd::atomic\b", "no threads"),
    (r"\bsetlocale\b|\bstd::locale\b", "locale"),
    (r"\b(float|double)\b", "no floats in decisions"),
    (r"\breinterpret_cast<u?intptr_t>", "pointers have no order"),
    (r"^\s*static\s+(?!(constexpr|const|inline|cast|assert))[\w:<>,\s*&]+\s\w+\s*(=|;|\{)", "no mutable statics"),
]
FLOATS_FOR_PEOPLE = re.compile(r"^sim/(story|report|run|cluster)|/json\.|config_defs|/types\.h|/reader\.h|/writer\.h|/wire\.|/descriptor\.")


def code_of(text):
    """The text without comments and string contents, lines kept."""
    text = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return text


def main():
    checked, faults = 0, []
    for top in ("engine", "sim"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".h", ".cc"):
                continue
            checked += 1
            name = path.relative_to(ROOT).as_posix()
            for number, line in enumerate(code_of(path.read_text()).split("\n"), 1):
                if "deterministic:" in line:
                    continue
                code = line.split("//")[0]
                for pattern, why in RULES:
                    if "float" in pattern and FLOATS_FOR_PEOPLE.search(name):
                        continue
                    if re.search(pattern, code):
                        faults.append(f"{name}:{number}: {why}: {line.strip()}")
    print("\n".join(faults) if faults else f"{checked} files depend on nothing but their input")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
