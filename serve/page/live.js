// The live picture: batch and KV cache from /metrics, about once a second while somebody can see it.

import {request} from "./api.js";
import {rounded} from "./answer.js";

const seconds = 60;
const mostCells = 96;
const $ = (id) => document.getElementById(id);

// parse reads Prometheus' text format: a number under each name; samples of one name are summed.
export function parse(text) {
  const values = new Map();
  for (const line of text.split("\n")) {
    const m = line.match(/^([a-zA-Z_:][\w:]*)(?:\{.*\})?\s+(\S+)/);
    if (m) values.set(m[1], (values.get(m[1]) ?? 0) + Number(m[2]));
  }
  return values;
}

// cells makes box hold n cells, of which the first are of each kind as counts tell: [["used", 3], ...].
function cells(box, n, counts) {
  while (box.childElementCount < n) box.append(document.createElement("i"));
  while (box.childElementCount > n) box.lastChild.remove();
  const kinds = counts.flatMap(([kind, count]) => Array(count).fill(kind));
  [...box.children].forEach((c, i) => (c.className = kinds[i] ?? ""));
}

// shares scales counts of total to n cells; what there is at all has a cell.
function shares(n, total, counts) {
  let left = n;
  return counts.map(([kind, count]) => {
    const share = Math.min(left, count ? Math.max(1, Math.round((count / total) * n)) : 0);
    left -= share;
    return [kind, share];
  });
}

// start polls until the server does not answer, then calls gone. It returns what ends it.
export function start(card, gone) {
  const rates = [];
  let before = null;
  let timer = 0;
  let ended = false;

  async function poll() {
    if (ended || document.hidden) return;
    try {
      draw(parse(await (await request("metrics")).text()));
      $("live-off").hidden = true;
    } catch (err) {
      if (ended) return;
      if (!err.status) return gone(err);
      $("live-off").textContent = err.message; // a server that hides its metrics
      $("live-off").hidden = false;
    }
    clearTimeout(timer);
    timer = setTimeout(poll, 1000);
  }

  function draw(values) {
    const value = (name) => values.get(`llmqat_${name}`) ?? 0;
    const now = performance.now();
    const generated = value("engine_generated_tokens_total");
    if (before && generated >= before.generated && now > before.now) {
      rates.push(((generated - before.generated) * 1000) / (now - before.now));
      if (rates.length > seconds) rates.shift();
    }
    before = {generated, now};
    drawRate(rates);

    const running = value("batch_sequences");
    const waiting = value("queue_requests");
    const slots = value("batch_sequences_max") || card.max_seqs;
    $("batch-text").textContent = `${running} of ${slots} running${waiting ? `, ${waiting} waiting` : ""}`;
    cells($("slots"), Math.min(slots, 64), shares(Math.min(slots, 64), slots, [["used", running]]));

    const total = card.kv_pages * card.page_tokens;
    const used = value("kv_tokens_used");
    const cached = value("kv_tokens_cached");
    const number = (tokens) => tokens.toLocaleString("en");
    $("kv-text").textContent = `${number(used)} used${cached ? `, ${number(cached)} cached` : ""} of ${number(total)}`;
    const n = Math.min(card.kv_pages, mostCells);
    cells($("pages"), n, shares(n, total, [["used", used], ["cached", cached]]));
  }

  const visible = () => {
    before = null; // the time in between is not a second
    poll();
  };
  document.addEventListener("visibilitychange", visible);
  poll();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", visible);
  };
}

function drawRate(rates) {
  const now = rates.at(-1) ?? 0;
  $("rate").textContent = now ? rounded(now) : "0";
  $("panel-rate").textContent = now ? `${rounded(now)} tok/s` : "Server";
  document.body.classList.toggle("working", now > 0);
  const top = Math.max(...rates, 1);
  const points = rates.map((r, i) => `${seconds - rates.length + i + 1},${(23 - (r / top) * 21).toFixed(2)}`);
  $("line").querySelector("polyline").setAttribute("points", points.join(" "));
  $("line").querySelector("path").setAttribute("d", points.length ? `M${seconds - rates.length + 1},24L${points.join("L")}L${seconds},24Z` : "");
}
