// The model's card: what it is, what it takes and where it came from.

const schemes = {
  token: "one scale a token",
  head: "one scale a token and head",
  "head-zp": "scale and minimum a token and head",
};
const methods = {qat: "trained in 4 bits (QAT)", rtn: "rounded to nearest", synth: "random weights"};

const number = (n) => n?.toLocaleString("en");

export function count(n) {
  for (const [unit, size] of [["B", 1e9], ["M", 1e6], ["K", 1e3]]) {
    if (n >= size) return `${(n / size).toPrecision(n / size >= 100 ? 3 : 2)} ${unit}`;
  }
  return String(n);
}

export function bytes(n) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (n >= size) return `${(n / size).toPrecision(3)} ${unit}`;
  }
  return `${n} bytes`;
}

export const words = (c) => `${count(c.parameters)} parameters, ${c.weight_bits}-bit weights, ${c.activation_bits}-bit activations, ${c.kv_bits}-bit KV cache`;
export const bits = (c) => `W${c.weight_bits} A${c.activation_bits} KV${c.kv_bits}`;

// draw fills box with groups of rows; rows without a value are left out.
export function draw(box, model) {
  const c = model.llmqat;
  const p = c.provenance;
  box.replaceChildren(
    group("Numbers", [
      ["Weights", `${c.weight_bits} bits`],
      ["Activations", `${c.activation_bits} bits`],
      ["KV cache", `${c.kv_bits} bits${c.kv_bits < 16 ? `, ${c.kv_scheme}: ${schemes[c.kv_scheme] ?? ""}` : ""}`],
      ["lm_head", `${c.lm_head_bits} bits`],
      ["Floats", c.float],
      ["Method", methods[c.method] ?? c.method],
    ]),
    group("Shape", [
      ["Parameters", `${count(c.parameters)} (${number(c.parameters)})`],
      ["Layers", number(c.layers)],
      ["Hidden", `${number(c.hidden_size)}, MLP ${number(c.intermediate_size)}`],
      ["Heads", `${c.heads}, of KV ${c.kv_heads}, size ${c.head_size}`],
      ["Vocabulary", number(c.vocab_size)],
      ["Context", `${number(model.max_model_len)} tokens${c.trained_context > model.max_model_len ? ` of ${number(c.trained_context)}` : ""}`],
      ["Chat template", c.chat_template || "none"],
    ]),
    group("Memory", [
      ["Device", c.device],
      ["Weights", bytes(c.weight_bytes)],
      ["KV cache", `${bytes(c.kv_bytes)}, ${number(c.kv_pages * c.page_tokens)} tokens`],
      ["Scratch", bytes(c.scratch_bytes)],
    ]),
    group("Provenance", [
      ["Teacher", p.source],
      ["Its hash", p.source_hash],
      ["Training", p.steps ? `${number(p.steps)} steps, ${count(p.tokens)} tokens` : ""],
      ["Seed", p.seed],
      ["Made by", p.created_by],
      ...Object.entries(p.notes ?? {}),
      ["Served by", c.server],
    ]),
  );
}

function group(title, rows) {
  const d = document.createElement("details");
  d.open = title === "Numbers" || innerWidth > 900;
  const s = document.createElement("summary");
  s.textContent = title;
  const l = document.createElement("dl");
  for (const [name, value] of rows) {
    if (value === undefined || value === "" || value === null) continue;
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    l.append(dt, dd);
  }
  d.append(s, l);
  return d;
}
