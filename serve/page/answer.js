// One answer: the request, its pieces as they come, and what it took.

import {Gone, Refused, events, request} from "./api.js";

export const alternatives = 5; // a token, where probabilities are shown

// ask streams the answer to body and calls take with {text, tokens} for each piece. It returns what is known at the
// end: when a stop is asked for, that is what came until then.
export async function ask(path, body, signal, take) {
  const stats = {start: performance.now(), first: 0, last: 0, pieces: 0, usage: null, finish: ""};
  body = {...body, stream: true, stream_options: {include_usage: true}};
  try {
    const response = await request(path, body, signal);
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return stats;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Refused(response.status, chunk.error);
      stats.usage = chunk.usage ?? stats.usage;
      const choice = chunk.choices?.[0];
      if (!choice) continue;
      stats.finish = choice.finish_reason ?? stats.finish;
      const piece = {text: choice.text ?? choice.delta?.content ?? "", tokens: tokensOf(choice.logprobs)};
      if (!piece.text && !piece.tokens.length) continue;
      stats.last = performance.now();
      stats.first ||= stats.last;
      stats.pieces += piece.tokens.length || 1;
      take(piece, stats);
    }
    throw new Gone("The answer broke off: the connection was lost.");
  } catch (err) {
    if (signal.aborted) return {...stats, finish: "stopped"};
    throw err instanceof TypeError ? new Gone("The answer broke off: the connection was lost.") : err;
  }
}

// tokensOf reads both layouts of logprobs: completions' parallel lists and chat's list of tokens.
function tokensOf(logprobs) {
  if (logprobs?.content) {
    return logprobs.content.map((t) => ({text: t.token, logprob: t.logprob, top: t.top_logprobs.map((a) => [a.token, a.logprob])}));
  }
  return (logprobs?.tokens ?? []).map((text, i) => ({
    text, logprob: logprobs.token_logprobs[i], top: Object.entries(logprobs.top_logprobs?.[i] ?? {}).sort((a, b) => b[1] - a[1]),
  }));
}

// describe tells what an answer took.
export function describe(s) {
  const parts = [];
  const tokens = s.usage?.completion_tokens ?? s.pieces;
  const rate = speed(s, tokens);
  if (rate) parts.push(`${rounded(rate)} tokens/s`);
  if (s.first) parts.push(`first after ${duration(s.first - s.start)}`);
  parts.push(`${tokens} token${tokens === 1 ? "" : "s"}`);
  if (s.usage) {
    const cached = s.usage.prompt_tokens_details?.cached_tokens;
    parts.push(`prompt ${s.usage.prompt_tokens}${cached ? `, ${cached} from the cache` : ""}`);
  }
  const why = {length: "cut at max tokens", stop: "ended by itself", stopped: "stopped"}[s.finish];
  if (why) parts.push(why);
  return parts.join(" · ");
}

// speed is of all tokens after the first, unless they came in one burst: then it is of the whole request.
function speed(s, tokens) {
  const burst = s.last - s.first < 250;
  return burst ? (tokens * 1000) / (s.last - s.start) : ((tokens - 1) * 1000) / (s.last - s.first);
}

export const rounded = (x) => (x >= 100 ? Math.round(x) : x.toPrecision(x >= 10 ? 3 : 2)).toLocaleString("en");

const duration = (ms) => (ms < 1000 ? `${Math.max(1, Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`);
