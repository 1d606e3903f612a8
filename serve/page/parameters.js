// The parameters: fields in the panel, kept in this browser, sent with every request.

import {load, save} from "./store.js";

const fields = [
  {name: "temperature", label: "Temperature", start: 0.8, min: 0, max: 2, step: 0.1, help: "0 takes the most likely token"},
  {name: "max_tokens", label: "Max tokens", start: 256, min: 1, step: 1},
  {name: "top_p", label: "Top p", start: 0.95, min: 0, max: 1, step: 0.05, help: "The most likely tokens that together have this probability"},
  {name: "top_k", label: "Top k", start: 0, min: 0, step: 1, help: "As many of the most likely tokens; 0: all"},
  {name: "min_p", label: "Min p", start: 0.05, min: 0, max: 1, step: 0.01, help: "Least probability, as a part of the most likely token's"},
  {name: "repetition_penalty", label: "Repetition penalty", start: 1, min: 0.01, max: 100, step: 0.05, help: "1: none"},
  {name: "seed", label: "Seed", start: "", step: 1, placeholder: "random"},
  {name: "stop", label: "Stop at", start: "", text: true, placeholder: "nothing", help: "Texts that end the answer, with | between them; \\n is a line break"},
  {name: "system", label: "System prompt", start: "", area: true, chat: true},
  {name: "logprobs", label: "Show each token's probability", start: false, check: true},
];

const inputs = new Map();

// build makes the fields.
export function build(form) {
  const saved = load("parameters") ?? {};
  for (const f of fields) {
    const input = document.createElement(f.area ? "textarea" : "input");
    if (f.area) input.rows = 3;
    else input.type = f.check ? "checkbox" : f.text ? "text" : "number";
    for (const k of ["min", "max", "step", "placeholder"]) if (k in f) input[k] = f[k];
    if (!f.check && !f.text && !f.area) input.inputMode = f.step < 1 ? "decimal" : "numeric";
    input.id = `parameter-${f.name}`;
    input.autocomplete = "off";
    const label = document.createElement("label");
    label.htmlFor = input.id;
    label.textContent = f.label;
    const box = document.createElement("div");
    box.className = f.check ? "check" : f.area ? "wide" : "";
    if (f.chat) box.dataset.only = "chat";
    box.append(...(f.check ? [input, label] : [label, input]));
    if (f.help) box.title = f.help;
    form.append(box);
    inputs.set(f.name, input);
    put(f, saved[f.name] ?? f.start);
  }
  form.addEventListener("input", () => save("parameters", Object.fromEntries(fields.map((f) => [f.name, get(f)]))));
  form.addEventListener("submit", (e) => e.preventDefault());
}

const get = (f) => (f.check ? inputs.get(f.name).checked : inputs.get(f.name).value);
const put = (f, v) => (f.check ? (inputs.get(f.name).checked = v) : (inputs.get(f.name).value = v));

export function reset() {
  for (const f of fields) put(f, f.start);
  save("parameters", null);
  blame(null);
}

// read returns the parameters as the API wants them. An empty field is left to the server.
export function read() {
  const out = {};
  for (const f of fields) {
    const v = get(f);
    if (v === "" || v === false) continue;
    out[f.name] = f.check || f.text || f.area ? v : Number(v);
  }
  if (out.stop) out.stop = out.stop.split("|").map((s) => s.replaceAll("\\n", "\n")).filter((s) => s);
  return out;
}

// blame marks the field that the server found wrong, and unmarks all others.
export function blame(name) {
  for (const [n, input] of inputs) input.setAttribute("aria-invalid", String(n === name));
}
