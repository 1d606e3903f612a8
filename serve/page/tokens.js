// Tokens coloured by their probability, with what the model could have said instead.

const box = document.getElementById("alternatives");
const known = new WeakMap(); // span -> token
let shown = null;

// spans returns a piece's tokens as elements. Where tokens are bytes of a character, the piece's text is one.
export function spans(piece) {
  const whole = piece.tokens.map((t) => t.text).join("") === piece.text;
  if (!piece.tokens.length) return [document.createTextNode(piece.text)];
  const list = whole ? piece.tokens : [{...piece.tokens.at(-1), text: piece.text}];
  return list.map((t) => {
    const s = document.createElement("span");
    s.textContent = t.text;
    s.className = `token p${Math.min(4, Math.floor(5 * Math.exp(t.logprob)))}`;
    known.set(s, t);
    return s;
  });
}

const percent = (logprob) => {
  const p = 100 * Math.exp(logprob);
  return p >= 99.95 ? "100 %" : p >= 0.1 ? `${p.toFixed(1)} %` : "< 0.1 %";
};
const visible = (text) => (text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "(end)");

function show(span) {
  if (shown === span) return;
  hide();
  const token = known.get(span);
  if (!token) return;
  shown = span;
  span.classList.add("chosen");
  const rows = token.top.length ? token.top : [[token.text, token.logprob]];
  box.replaceChildren(...rows.map(([text, logprob]) => {
    const row = document.createElement("p");
    const name = document.createElement("span");
    const bar = document.createElement("meter");
    const value = document.createElement("span");
    name.textContent = visible(text);
    bar.value = Math.exp(logprob);
    value.textContent = percent(logprob);
    if (text === token.text) row.className = "taken";
    row.append(name, bar, value);
    return row;
  }));
  box.hidden = false;
  const at = span.getBoundingClientRect();
  const left = Math.min(at.left, span.closest(".turn").getBoundingClientRect().right - box.offsetWidth);
  const below = at.bottom + 4 + box.offsetHeight < innerHeight;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${below ? at.bottom + 4 : at.top - box.offsetHeight - 4}px`;
}

export function hide() {
  shown?.classList.remove("chosen");
  shown = null;
  box.hidden = true;
}

// watch shows alternatives of tokens in log, by pointer, by tap and by arrow keys.
export function watch(log) {
  const token = (e) => e.target.closest?.(".token");
  log.addEventListener("pointerover", (e) => e.pointerType === "mouse" && (token(e) ? show(token(e)) : hide()));
  log.addEventListener("pointerleave", (e) => e.pointerType === "mouse" && hide());
  log.addEventListener("click", (e) => (token(e) ? show(token(e)) : hide()));
  log.addEventListener("scroll", hide);
  log.addEventListener("keydown", (e) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[e.key];
    const all = [...log.querySelectorAll(".token")];
    if (!step || !all.length || e.target !== log) return;
    e.preventDefault();
    const next = all[shown ? all.indexOf(shown) + step : all.length - 1];
    next?.scrollIntoView({block: "nearest"});
    if (next) show(next);
  });
}
