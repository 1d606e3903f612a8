"""Records what Jinja2 makes of conversations.json with every template of ../templates and models, in rendered.json.

    python3 testdata/record.py        (pip install jinja2==3.1.6)

models holds templates as the models of that name publish them.
"""
import glob, json, os, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "jinja", "testdata"))
import record

TOKENS = {"llama-3": ("<|begin_of_text|>", "<|eot_id|>"), "llama3": ("<|begin_of_text|>", "<|eot_id|>"), "gemma": ("<bos>", "<eos>"),
          "qwen": ("", "<|im_end|>"), "chatml": ("", "<|im_end|>")}


def main():
    env = record.environment()
    conversations = json.load(open(os.path.join(HERE, "conversations.json")))
    out = []
    for path in sorted(glob.glob(os.path.join(HERE, "..", "templates", "*.jinja")) + glob.glob(os.path.join(HERE, "models", "*.jinja"))):
        name = os.path.relpath(path, os.path.join(HERE, "..")).replace(os.sep, "/")
        template = env.from_string(open(path).read())
        bos, eos = next((t for key, t in TOKENS.items() if os.path.basename(path).startswith(key)), ("<s>", "</s>"))
        for i, messages in enumerate(conversations):
            for answer in (True, False):
                try:
                    want = template.render(messages=messages, bos_token=bos, eos_token=eos, add_generation_prompt=answer)
                except Exception:
                    want = None
                out.append({"file": name, "bos": bos, "eos": eos, "conversation": i, "answer": answer, "want": want})
    with open(os.path.join(HERE, "rendered.json"), "w") as f:
        json.dump(out, f, ensure_ascii=False, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
