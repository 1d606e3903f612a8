// The page: waits for the server, knows the mode, and runs one answer at a time.

import * as api from "./api.js";
import * as card from "./card.js";
import * as live from "./live.js";
import * as parameters from "./parameters.js";
import * as tokens from "./tokens.js";
import {alternatives, ask} from "./answer.js";
import {Log, copy} from "./log.js";
import {load, save} from "./store.js";

const $ = (id) => document.getElementById(id);
const prompt = $("prompt");
const example = "Once upon a time, there was a little girl named Lily.";

const chatOff = "Chat is off: this model has no chat template, it only continues texts. llmqat-serve --chat-template NAME gives it one.";

let model = null; // as GET /v1/models/{id} has it
let mode = "complete";
let log = null;
let running = null; // AbortController of the answer under way
let stopLive = () => {};

// connect waits for the server and its model, and starts the page with them.
async function connect() {
  stopLive();
  for (let pause = 1000; ; pause = Math.min(pause * 1.5, 5000)) {
    try {
      await api.request("ready");
      const {id} = (await api.json("v1/models")).data[0];
      model = await api.json(`v1/models/${encodeURIComponent(id)}`);
      break;
    } catch (err) {
      if (err.status === 401) {
        await askKey(err);
        continue;
      }
      await told(`${sentence(err.message)} Trying again.`, "Now", pause);
    }
  }
  notice("");
  show();
}

const sentence = (s) => s[0].toUpperCase() + s.slice(1) + (/[.!?]$/.test(s) ? "" : ".");

// notice shows a line above the log; with a button it tells when that is pressed.
function notice(text, button, act) {
  $("notice").hidden = !text;
  $("notice-text").textContent = text;
  $("notice-button").hidden = !button;
  $("notice-button").textContent = button ?? "";
  $("notice-button").onclick = act;
}

const told = (text, button, ms) => new Promise((go) => {
  notice(text, button, go);
  setTimeout(go, ms);
});

function askKey(err) {
  $("key-text").textContent = sentence(err.message);
  $("key").showModal();
  return new Promise((go) => {
    $("key").addEventListener("close", () => {
      api.setKey($("key-input").value.trim());
      go();
    }, {once: true});
  });
}

// show draws what the server serves.
function show() {
  const c = model.llmqat;
  document.title = `${model.id} · llmqat`;
  $("model-name").textContent = model.id;
  $("model-bits").textContent = c ? card.bits(c) : "";
  $("card").hidden = $("live").hidden = !c;
  if (c) {
    card.draw($("card-body"), model);
    stopLive = live.start(c, () => running || connect());
  }
  const template = c?.chat_template;
  $("welcome").hidden = false;
  $("welcome-title").textContent = model.id;
  $("welcome-card").textContent = c ? card.words(c) : "";
  $("welcome-text").textContent = template ? "Chat with it, or let it continue a text." : chatOff;
  $("mode-chat").setAttribute("aria-disabled", String(!template));
  choose(template ? load("mode") ?? "chat" : "complete");
  document.body.classList.add("ready");
}

// choose switches to a mode. Chat without a template only says why it is off.
function choose(want) {
  if (want === "chat" && !model.llmqat?.chat_template) {
    notice(chatOff, "Close", () => notice(""));
    return;
  }
  if (running) return;
  mode = want;
  save("mode", mode);
  document.body.dataset.mode = mode;
  for (const m of ["complete", "chat"]) $(`mode-${m}`).setAttribute("aria-pressed", String(m === mode));
  const chat = mode === "chat";
  $("prompt-label").textContent = chat ? "Message" : "Text to continue";
  prompt.placeholder = chat ? "Write a message" : "Write the beginning of a text";
  $("send").textContent = chat ? "Send" : "Complete";
  log = new Log(model.id, mode, {again, further});
  log.show();
  if (!chat && !prompt.value && !log.last) prompt.value = example;
  if (chat && prompt.value === example) prompt.value = "";
  fit();
}

// fit gives the prompt as many lines as it has, up to what CSS lets it have.
function fit() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight + 2}px`;
}

function send() {
  const text = prompt.value;
  if (running || !log || !text.trim()) return;
  log.add({prompt: text, text: "", note: ""});
  if (mode === "chat") prompt.value = "";
  fit();
  answer();
}

// again answers the last turn anew, further goes on where its answer ended.
function again(turn) {
  if (running) return;
  turn.text = "";
  answer();
}

function further() {
  if (!running) answer();
}

async function answer() {
  const turn = log.last;
  const writer = log.begin();
  const {system, logprobs, ...body} = parameters.read();
  running = new AbortController();
  parameters.blame(null);
  tokens.hide();
  busy(true);
  let stats = null;
  let failure = null;
  try {
    const take = (piece, s) => writer.take(piece, s);
    if (mode === "chat") {
      body.messages = system ? [{role: "system", content: system}] : [];
      for (const t of log.turns) {
        if (t === turn || t.text) body.messages.push({role: "user", content: t.prompt});
        if (t !== turn && t.text) body.messages.push({role: "assistant", content: t.text});
      }
      if (logprobs) Object.assign(body, {logprobs: true, top_logprobs: alternatives});
      stats = await chat(body, take);
    } else {
      body.prompt = turn.prompt + turn.text;
      body.max_tokens = await room(body.prompt, body.max_tokens, running.signal);
      if (logprobs) body.logprobs = alternatives;
      stats = await ask("v1/completions", body, running.signal, take);
    }
  } catch (err) {
    failure = err;
  }
  running = null;
  busy(false);
  if (failure?.name === "AbortError") failure = null; // stopped before the first piece
  writer.end(stats, failure);
  parameters.blame(failure?.param ?? null);
  if (failure?.status === 401) {
    await askKey(failure);
    connect();
  } else if (failure instanceof api.Gone) {
    connect();
  }
}

// chat asks for an answer to body's messages: where max_tokens are more than the context has left, for what is left.
async function chat(body, take) {
  const path = "v1/chat/completions";
  try {
    return await ask(path, body, running.signal, take);
  } catch (err) {
    if (err.code !== "context_length_exceeded" || err.param !== "max_tokens") throw err;
    return ask(path, {...body, max_tokens: undefined}, running.signal, take);
  }
}

// room returns how many tokens may follow text: as many as wanted, as far as the context goes.
async function room(text, wanted, signal) {
  const ids = (await api.json("tokenize", {content: text, add_special: true}, signal)).tokens;
  const left = model.max_model_len - ids.length;
  if (left < 1) throw new Error(`The context of ${model.max_model_len} tokens is full: begin another text.`);
  return Math.min(wanted ?? left, left);
}

function busy(on) {
  $("send").hidden = on;
  $("stop").hidden = !on;
  $("mode-complete").disabled = $("mode-chat").disabled = $("clear").disabled = on;
}

const stop = () => running?.abort();

function panel(open) {
  document.body.classList.toggle("panel", open);
  $("panel-open").setAttribute("aria-expanded", String(open));
  (open ? $("panel-close") : $("panel-open")).focus();
}

$("composer").addEventListener("submit", (e) => (e.preventDefault(), send()));
$("stop").addEventListener("click", stop);
$("clear").addEventListener("click", () => log && !running && (log.clear(), prompt.focus()));
$("reset").addEventListener("click", parameters.reset);
$("mode-complete").addEventListener("click", () => model && choose("complete"));
$("mode-chat").addEventListener("click", () => model && choose("chat"));
$("panel-open").addEventListener("click", () => panel(true));
$("panel-close").addEventListener("click", () => panel(false));
$("log").addEventListener("click", (e) => {
  const b = e.target.closest?.(".copy-code");
  if (b) copy(b.nextElementSibling.textContent, b);
});
prompt.addEventListener("input", fit);
prompt.addEventListener("keydown", (e) => {
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing) {
    e.preventDefault();
    send();
  }
});
document.addEventListener("keydown", (e) => {
  if (e.key !== "Escape" || $("key").open) return;
  if (running) stop();
  else if (!$("alternatives").hidden) tokens.hide();
  else if (document.body.classList.contains("panel")) panel(false);
});
// A phone's keyboard takes from what can be seen: the page fits into the rest.
visualViewport?.addEventListener("resize", () => document.body.style.setProperty("--height", `${visualViewport.height}px`));

parameters.build($("parameters"));
tokens.watch($("log"));
connect();
