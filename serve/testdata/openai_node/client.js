// Checks a running llmqat-serve with OpenAI's own client for Node.
//
//     llmqat-serve --chat-template chatml &
//     npm ci && node client.js http://127.0.0.1:8080
//
// Exits with 1 and the list of what differs. It needs a model with 128 tokens of context.

import { isDeepStrictEqual } from "node:util";
import OpenAI, { BadRequestError, NotFoundError } from "openai";
import { VERSION } from "openai/version";

const base = process.argv[2].replace(/\/$/, "");
const client = new OpenAI({ baseURL: base + "/v1", apiKey: process.env.LLMQAT_API_KEY ?? "none", maxRetries: 0, timeout: 60_000 });
const failures = [];

function check(what, ok, found) {
  if (!ok) failures.push(`${what}: found ${JSON.stringify(found)}`);
}

// call must throw a kind that names param.
async function throws(what, kind, param, call) {
  try {
    await call();
  } catch (e) {
    check(what, e instanceof kind && e.param === param && e.type === "invalid_request_error" && e.error.message, `${e}`);
    return;
  }
  failures.push(`${what}: want ${kind.name}, found an answer`);
}

const model = (await client.models.list()).data[0].id;
check("model", (await client.models.retrieve(model)).id === model);

const prompt = "Once upon a time";
const create = (more) => client.completions.create({ model, prompt, max_tokens: 12, temperature: 0, ...more });

// A plain completion, and the same streamed.
const plain = await create();
const text = plain.choices[0].text;
check("object", plain.object === "text_completion", plain);
check("text", text.length > 0 && ["stop", "length"].includes(plain.choices[0].finish_reason), plain);
check("usage", plain.usage.total_tokens === plain.usage.prompt_tokens + plain.usage.completion_tokens, plain.usage);
check("cached tokens", plain.usage.prompt_tokens_details.cached_tokens >= 0, plain.usage);
const chunks = [];
for await (const chunk of await create({ stream: true, stream_options: { include_usage: true } })) chunks.push(chunk);
check("streamed text", chunks.flatMap((c) => c.choices).map((c) => c.text).join("") === text);
const last = chunks.at(-1);
check("usage chunk", last.choices.length === 0 && last.usage.completion_tokens === plain.usage.completion_tokens, last);
check("usage null before", chunks.slice(0, -1).every((c) => c.usage === null));

// Choices, seeds, the best of several, echo, stop.
const texts = async (more) => (await create({ temperature: 1, seed: 7, ...more })).choices.map((c) => c.text);
const three = await texts({ n: 3 });
check("n and seed", three.length === 3 && isDeepStrictEqual(three, await texts({ n: 3 })), three);
const best = await texts({ n: 2, best_of: 3 });
check("best_of", best.length === 2 && best.every((t) => three.includes(t)), best);
check("echo", (await create({ echo: true })).choices[0].text === prompt + text);
const stopped = (await create({ stop: [text.slice(3, 6)] })).choices[0];
check("stop", stopped.text === text.slice(0, text.indexOf(text.slice(3, 6))) && stopped.finish_reason === "stop", stopped);

// Log probabilities.
const logprobs = (await create({ logprobs: 2 })).choices[0].logprobs;
check("logprobs", logprobs.tokens.join("") === text, logprobs.tokens);
check("top_logprobs", logprobs.top_logprobs.every((top, i) => top[logprobs.tokens[i]] === logprobs.token_logprobs[i]), logprobs);
const scored = (await create({ logprobs: 0, echo: true, max_tokens: 0 })).choices[0].logprobs;
check("first is null", scored.token_logprobs[0] === null && scored.top_logprobs[0] === null && scored.text_offset[0] === 0, scored);

// Errors have their types.
await throws("temperature", BadRequestError, "temperature", () => create({ temperature: 3 }));
await throws("best_of", BadRequestError, "best_of", () => create({ n: 2, best_of: 1 }));
await throws("suffix", BadRequestError, "suffix", () => create({ suffix: "the end" }));
await throws("model", NotFoundError, "model", () => create({ model: "no-such-model" }));
await throws("streamed", BadRequestError, "temperature", () => create({ temperature: "hot", stream: true }));

// Conversations.
const messages = [{ role: "user", content: prompt }];
const chat = (more) => client.chat.completions.create({ model, messages, max_completion_tokens: 12, temperature: 0, ...more });
const answer = await chat({ logprobs: true, top_logprobs: 2 });
const said = answer.choices[0].message.content;
check("chat", answer.object === "chat.completion" && answer.choices[0].message.role === "assistant" && said.length > 0, answer);
check("chat: logprobs", answer.choices[0].logprobs.content.every((t) => t.top_logprobs.length === 2), answer.choices[0].logprobs);
const runner = client.chat.completions.stream({ model, messages, max_completion_tokens: 12, temperature: 0, stream_options: { include_usage: true } });
check("chat: streamed", (await runner.finalContent()) === said);
check("chat: usage", (await runner.totalUsage()).completion_tokens === answer.usage.completion_tokens);
await throws("chat: tools", BadRequestError, "tools", () => chat({ tools: [{ type: "function", function: { name: "f" } }] }));
await throws("chat: messages", BadRequestError, "messages", () => chat({ messages: [] }));

// A stream that is left, both ways, takes nothing with it.
for await (const _ of await create({ stream: true, max_tokens: 40 })) break;
const left = await create({ stream: true, max_tokens: 40 });
left.controller.abort();
check("after clients left", (await create()).choices[0].text === text);

for (const f of failures) console.log("FAIL", f);
console.log(`${failures.length} failures, openai ${VERSION} on node ${process.version}, model ${model}`);
process.exit(failures.length > 0 ? 1 : 0);
