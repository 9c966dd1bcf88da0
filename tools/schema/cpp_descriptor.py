"""Descriptors: the messages as tables, and the tables of all messages and all APIs."""
from . import cpp_struct
from .notation import ENDLESS

TYPES = {"bool": "boolean"}


def versions(r, within=None):
    low, high = (r.low, r.high) if within is None else (max(r.low, within.low), min(r.high, within.high))
    return "{}" if low > high else f"{{{low}, {high}}}"


def boolean(x): return "true" if x else "false"


def struct(m, name, ident, fields):
    tags = m.ever_flexible()
    rows = []
    for f in fields:
        kind = "structure" if f.struct else TYPES.get(f.type, f.type)
        of = f"&k{m.name}_{f.struct.name}" if f.struct else "nullptr"
        rows.append(f'    {{"{f.json}", FieldType::{kind}, {boolean(f.list)}, {boolean(f.ignorable)}, {versions(f.versions, m.versions)}, '
                    f'{versions(f.null, m.versions)}, {-1 if f.tag is None else f.tag}, offsetof({name}, {f.member}), {of}}},')
    table = f"constexpr FieldDescriptor k{ident}_fields[] = {{\n" + "\n".join(rows) + "\n};\n" if rows else ""
    span = f"k{ident}_fields" if rows else "{}"
    unknown = f"offsetof({name}, unknown_tags)" if tags else "-1"
    return (f"constexpr {name} k{ident}_default{{}};\n{table}"
            f'constexpr StructDescriptor k{ident}{{"{name.split("::")[-1]}", sizeof({name}), {unknown}, {span}, &k{ident}_default}};\n')


def message(m):
    out = [struct(m, f"{m.name}::{s.name}", f"{m.name}_{s.name}", s.fields) for s in m.structs]
    out.append(struct(m, m.name, m.name + "_", m.fields))
    first = m.flexible.low if m.ever_flexible() else ENDLESS
    out.append(f'extern const MessageDescriptor k{m.name};\nconst MessageDescriptor k{m.name}{{"{m.name}", MessageKind::{m.kind.replace("-", "_")}, '
               f"Framing::{m.frame}, {m.id}, {versions(m.versions)}, {first}, &k{m.name}_,\n"
               f"    [](Reader& r, Arena& a, int16_t v, void* x) {{ return decode(r, a, v, *static_cast<{m.name}*>(x)); }},\n"
               f"    [](Writer& w, int16_t v, const void* x) {{ encode(w, v, *static_cast<const {m.name}*>(x)); }}}};\n")
    return "\n".join(out)


def unit(files):
    includes = "".join(f'#include "{f.header}"\n' for f in files)
    body = "\n".join(message(m) for f in files for m in f.messages)
    return (cpp_struct.GENERATED.format(source="engine/schema") + '#include <cstddef>\n\n#include "engine/protocol/descriptor.h"\n' + includes +
            "\nnamespace klamm::protocol {\n\n" + body + "\n}  // namespace klamm::protocol\n")


def api(a, messages):
    m = next((m for m in messages if m.kind == "request"), None)
    known = versions(m.versions) if m else "{}"
    first = m.flexible.low if m and m.ever_flexible() else ENDLESS
    return (f'    {{{a.key}, "{a.name}", {known}, {first}, {versions(a.broker)}, {versions(a.broker_advertised)}, {versions(a.controller)}, '
            f"{versions(a.controller_advertised)}, {boolean(a.latest_unstable)}, {boolean(a.cluster_action)}, {boolean(a.forwardable)}}},")


def tables(files):
    names = sorted(m.name for f in files for m in f.messages)
    apis = sorted((f for f in files if f.api), key=lambda f: f.api.key)
    assert [f.api.key for f in apis] == list(range(len(apis)))
    return (cpp_struct.GENERATED.format(source="engine/schema") +
            '#include "engine/protocol/api_table.h"\n#include "engine/protocol/descriptor.h"\n\nnamespace klamm::protocol {\n\n' +
            "\n".join(f"extern const MessageDescriptor k{n};" for n in names) +
            "\n\nstd::span<const MessageDescriptor* const> all_messages() {\n  static constexpr const MessageDescriptor* kAll[] = {\n" +
            "\n".join(f"    &k{n}," for n in names) + "\n  };\n  return kAll;\n}\n\n"
            "std::span<const ApiInfo> all_apis() {\n  static constexpr ApiInfo kAll[] = {\n" +
            "\n".join(api(f.api, f.messages) for f in apis) + "\n  };\n  return kAll;\n}\n\n}  // namespace klamm::protocol\n")


def api_keys(files):
    apis = sorted((f.api for f in files if f.api), key=lambda a: a.key)
    return (cpp_struct.GENERATED.format(source="engine/schema") + "#pragma once\n#include <cstdint>\n\nnamespace klamm::protocol::api {\n\n" +
            "\n".join(f"inline constexpr int16_t k{a.name} = {a.key};" for a in apis) + "\n\n}  // namespace klamm::protocol::api\n")
