"""Checks a running llmqat-serve with OpenAI's own client.

    LLMQAT_API_KEY=secret llmqat-serve --chat-template chatml --max-seqs 8 &
    LLMQAT_API_KEY=secret python openai_client.py http://127.0.0.1:8080 [model]

Exits with 1 and the list of what differs. It needs `pip install openai`, a model with 128 tokens of context, and
a queue that 128 answers as long as the context do not fit in. Without LLMQAT_API_KEY nothing is said of keys.
"""

import os
import sys

import openai

BASE = sys.argv[1].rstrip("/")
KEY = os.environ.get("LLMQAT_API_KEY", "none")
client = openai.OpenAI(base_url=BASE + "/v1", api_key=KEY, max_retries=0, timeout=60)
failures = []


def check(what, ok, found=None):
    if not ok:
        failures.append(f"{what}: found {found!r}")


def raises(what, kind, param, call, code=None):
    """call must raise kind with this param in its body."""
    try:
        call()
    except kind as e:
        check(f"{what}: param", e.param == param, e.param)
        check(f"{what}: message", bool(e.body and e.body.get("message")), e.body)
        check(f"{what}: type", bool(e.type), e.type)
        if code:
            check(f"{what}: code", e.code == code, e.code)
    except Exception as e:  # whatever else comes is a failure
        failures.append(f"{what}: want {kind.__name__}, found {type(e).__name__}: {e}")
    else:
        failures.append(f"{what}: want {kind.__name__}, found an answer")


models = client.models.list().data
check("one model", len(models) == 1, models)
MODEL = sys.argv[2] if len(sys.argv) > 2 else models[0].id
check("model", client.models.retrieve(MODEL).id == MODEL)

PROMPT = "Once upon a time"


def create(**kwargs):
    return client.completions.create(**{"model": MODEL, "prompt": PROMPT, "max_tokens": 12, "temperature": 0, **kwargs})


# A plain completion.
plain = create()
text = plain.choices[0].text
check("object", plain.object == "text_completion", plain.object)
check("id", plain.id.startswith("cmpl-"), plain.id)
check("text", len(text) > 0, text)
check("finish_reason", plain.choices[0].finish_reason in ("stop", "length"), plain.choices[0].finish_reason)
check("usage", plain.usage.completion_tokens <= 12, plain.usage)
check("cached tokens", plain.usage.prompt_tokens_details.cached_tokens >= 0, plain.usage)
check("usage total", plain.usage.total_tokens == plain.usage.prompt_tokens + plain.usage.completion_tokens, plain.usage)
check("greedy twice", create().choices[0].text == text)
check("default max_tokens", client.completions.create(model=MODEL, prompt=PROMPT).usage.completion_tokens <= 16)

# The same, streamed.
chunks = list(create(stream=True, stream_options={"include_usage": True}))
check("streamed text", "".join(c.choices[0].text for c in chunks if c.choices) == text)
counts = lambda usage: (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
check("usage chunk", chunks[-1].choices == [] and counts(chunks[-1].usage) == counts(plain.usage), chunks[-1])
check("usage null before", all(c.usage is None for c in chunks[:-1]))
check("last finish_reason", chunks[-2].choices[0].finish_reason == plain.choices[0].finish_reason, chunks[-2])
check("one id", len({c.id for c in chunks}) == 1)
check("no usage unasked", all(c.usage is None for c in create(stream=True)))

# Stop strings are never shown, streamed or not.
stop = text[3:6]
cut = text[: text.index(stop)]
stopped = create(stop=stop)
check("stop", stopped.choices[0].text == cut, stopped.choices[0].text)
check("stop reason", stopped.choices[0].finish_reason == "stop", stopped.choices[0].finish_reason)
check("stop, streamed", "".join(c.choices[0].text for c in create(stop=[stop, "~~~~"], stream=True)) == cut)
check("stop that does not come", create(stop="~~~~").choices[0].text == text)

# Several choices and prompts.
many = create(n=3, temperature=1, seed=7)
check("n", [c.index for c in many.choices] == [0, 1, 2], many.choices)
again = create(n=3, temperature=1, seed=7)
check("seed", [c.text for c in many.choices] == [c.text for c in again.choices])
check("n differ", len({c.text for c in many.choices}) > 1, [c.text for c in many.choices])
streamed = {}
for chunk in create(n=3, temperature=1, seed=7, stream=True):
    for c in chunk.choices:
        streamed[c.index] = streamed.get(c.index, "") + c.text
check("n, streamed", streamed == {c.index: c.text for c in many.choices}, streamed)
both = create(prompt=[PROMPT, "The dog"], n=2)
check("prompts", len(both.choices) == 4 and both.choices[0].text == both.choices[1].text == text, both.choices)
check("empty prompt", len(create(prompt="").choices[0].text) > 0)

# The best of several are those with the highest mean log probability, best first.
mean = lambda c: sum(c.logprobs.token_logprobs) / len(c.logprobs.token_logprobs)
pool = create(n=6, temperature=1, seed=3, logprobs=0, extra_body={"ignore_eos": True})
best = create(n=2, best_of=6, temperature=1, seed=3, logprobs=0, extra_body={"ignore_eos": True})
check("best_of", [c.text for c in best.choices] == [c.text for c in sorted(pool.choices, key=mean, reverse=True)[:2]], best.choices)
check("best_of: index", [c.index for c in best.choices] == [0, 1], best.choices)
check("best_of: usage", counts(best.usage) == counts(pool.usage), best.usage)

# Echo and logprobs.
check("echo", create(echo=True).choices[0].text == PROMPT + text)
check("echo alone", create(echo=True, max_tokens=0).choices[0].text == PROMPT)
logprobs = create(logprobs=2).choices[0].logprobs
check("logprobs text", "".join(logprobs.tokens) == text, logprobs.tokens)
check("logprobs lengths", len({len(l) for l in (logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, logprobs.text_offset)}) == 1)
check("greedy is the most likely", all(lp == max(top.values()) for lp, top in zip(logprobs.token_logprobs, logprobs.top_logprobs)))
check("offsets", all(text[o:].startswith(t) for o, t in zip(logprobs.text_offset, logprobs.tokens)), logprobs.text_offset)
scored = create(logprobs=0, echo=True, max_tokens=0).choices[0]
check("scored text", scored.text == PROMPT == "".join(scored.logprobs.tokens), scored)
check("first is null", scored.logprobs.token_logprobs[0] is None and scored.logprobs.top_logprobs[0] is None)
check("others are not", all(lp <= 0 for lp in scored.logprobs.token_logprobs[1:]), scored.logprobs.token_logprobs)
whole = create(logprobs=0, echo=True).choices[0].logprobs
near = lambda a, b: len(a) == len(b) and all(abs(x - y) < 1e-4 for x, y in zip(a, b))
check("prompt's logprobs are one pass's", near(whole.token_logprobs[1 : len(scored.logprobs.tokens)], scored.logprobs.token_logprobs[1:]))
check("answer's logprobs", near(whole.token_logprobs[len(scored.logprobs.tokens) :], logprobs.token_logprobs))

# Biases, and what OpenAI has not.
ban = create(max_tokens=1, logit_bias={"5": -100, "6": -100}, user="u", extra_body={"top_k": 1, "min_p": 0.1, "repetition_penalty": 1.1, "priority": 5, "cache_salt": "s"})
check("extras", len(ban.choices) == 1)
check("ignore_eos", create(extra_body={"ignore_eos": True}).usage.completion_tokens == 12)

# Errors have their types.
bad, missing = openai.BadRequestError, openai.NotFoundError
raises("temperature", bad, "temperature", lambda: create(temperature=3))
raises("max_tokens", bad, "max_tokens", lambda: create(max_tokens=-1))
raises("n", bad, "n", lambda: create(n=17))
raises("logprobs", bad, "logprobs", lambda: create(logprobs=21))
raises("best_of", bad, "best_of", lambda: create(n=2, best_of=1))
raises("best_of streamed", bad, "best_of", lambda: create(best_of=2, stream=True))
raises("response_format", bad, "response_format", lambda: create(extra_body={"response_format": {"type": "json_object"}}))
raises("suffix", bad, "suffix", lambda: create(suffix="the end"))
raises("stop", bad, "stop", lambda: create(stop=["s"] * 17))
raises("logit_bias", bad, "logit_bias", lambda: create(logit_bias={"-1": 1}))
raises("prompt", bad, "prompt", lambda: create(prompt=[]))
raises("stream_options", bad, "stream_options", lambda: create(stream_options={"include_usage": True}))
raises("stream", bad, "temperature", lambda: list(create(temperature="hot", stream=True)))
raises("context", bad, "max_tokens", lambda: create(max_tokens=10**8), code="context_length_exceeded")
raises("model", missing, "model", lambda: create(model="no-such-model"), code="model_not_found")
raises("model page", missing, "model", lambda: client.models.retrieve("no-such-model"))
raises("path", missing, None, lambda: client.post("/no/such/path", cast_to=object, body={}))

crowd = client.models.retrieve(MODEL).max_model_len - 16
raises("a full queue", openai.RateLimitError, None, lambda: create(prompt=[PROMPT] * 8, n=16, max_tokens=crowd, extra_body={"ignore_eos": True}))
if KEY != "none":
    stranger = client.with_options(api_key="wrong")
    raises("key", openai.AuthenticationError, None, lambda: stranger.models.list(), code="invalid_api_key")
    raises("key, streamed", openai.AuthenticationError, None, lambda: stranger.completions.create(model=MODEL, prompt=PROMPT, stream=True))

# Conversations.
MESSAGES = [{"role": "system", "content": "You tell stories."}, {"role": "user", "content": [{"type": "text", "text": PROMPT}]}]


def chat(**kwargs):
    return client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, "max_completion_tokens": 12, "temperature": 0, **kwargs})


answer = chat(logprobs=True, top_logprobs=2)
said = answer.choices[0].message.content
check("chat: object", answer.object == "chat.completion" and answer.id.startswith("chatcmpl-"), answer)
check("chat: message", answer.choices[0].message.role == "assistant" and said and answer.choices[0].message.refusal is None, answer)
check("chat: usage", answer.usage.prompt_tokens + answer.usage.completion_tokens == answer.usage.total_tokens, answer.usage)
content = answer.choices[0].logprobs.content
check("chat: bytes", b"".join(bytes(t.bytes) for t in content if t.bytes is not None).decode(errors="replace").strip() == said.strip(), content)
check("chat: top_logprobs", all(len(t.top_logprobs) == 2 and t.logprob == t.top_logprobs[0].logprob for t in content), content)
parts = list(chat(stream=True, stream_options={"include_usage": True}))
check("chat: first delta", parts[0].choices[0].delta.role == "assistant", parts[0])
check("chat: streamed", "".join(p.choices[0].delta.content or "" for p in parts if p.choices) == said, parts)
check("chat: finish_reason", parts[-2].choices[0].finish_reason == answer.choices[0].finish_reason, parts[-2])
check("chat: usage chunk", parts[-1].choices == [] and counts(parts[-1].usage) == counts(answer.usage), parts[-1])
check("chat: cached", parts[-1].usage.prompt_tokens_details.cached_tokens >= 0, parts[-1])
check("chat: n and seed", [c.message.content for c in chat(n=2, seed=3, temperature=1).choices] == [c.message.content for c in chat(n=2, seed=3, temperature=1).choices])
cutoff = said[2:5]
check("chat: stop", chat(stop=cutoff).choices[0].message.content == said[: said.index(cutoff)])
raises("chat: top_logprobs alone", bad, "logprobs", lambda: chat(top_logprobs=2))
raises("chat: tools", bad, "tools", lambda: chat(tools=[{"type": "function", "function": {"name": "f"}}]))
raises("chat: response_format", bad, "response_format", lambda: chat(response_format={"type": "json_object"}))
raises("chat: no messages", bad, "messages", lambda: chat(messages=[]))
raises("chat: role", bad, "messages[0].role", lambda: chat(messages=[{"role": "nobody", "content": "x"}]))
raises("chat: context", bad, "max_completion_tokens", lambda: chat(max_completion_tokens=10**8), code="context_length_exceeded")

# A client that stops reading takes its connection with it; the server goes on.
leaving = create(stream=True, max_tokens=40)
next(iter(leaving))
leaving.close()
check("after a client left", create().choices[0].text == text)

for f in failures:
    print("FAIL", f)
print(f"{len(failures)} failures, openai {openai.__version__}, model {MODEL}")
sys.exit(bool(failures))
