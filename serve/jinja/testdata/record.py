"""Records what Jinja2 makes of snippets.txt, one template a line, in jinja2.json: a string, or null for an error.

    python3 testdata/record.py        (pip install jinja2==3.1.6)

The environment is the one that transformers renders chat templates with (utils/chat_template_utils.py).
"""
import json, os
import jinja2
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = os.path.dirname(os.path.abspath(__file__))


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: __import__("datetime").datetime(2024, 7, 26).strftime(format)
    return env


MESSAGES = [
    {"role": "system", "content": "Be <brief>."},
    {"role": "user", "content": " Hi "},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Bye\n"},
]


def render(env, source, **variables):
    try:
        return env.from_string(source).render(messages=MESSAGES, bos_token="<s>", eos_token="</s>", **variables)
    except Exception:
        return None


def main():
    env = environment()
    out = []
    for line in open(os.path.join(HERE, "snippets.txt")):
        line = line.rstrip("\n")
        source = line.replace("⏎", "\n")
        out.append({"template": source, "want": render(env, source, add_generation_prompt=True)})
    with open(os.path.join(HERE, "jinja2.json"), "w") as f:
        json.dump(out, f, ensure_ascii=False, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
