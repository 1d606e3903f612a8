// The log: turns of a prompt and its answer, as they are shown and kept.

import {describe} from "./answer.js";
import {render} from "./markdown.js";
import {load, save} from "./store.js";
import {spans} from "./tokens.js";

const box = document.getElementById("log");
const mostKept = 100; // turns

const element = (tag, className, text) => {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text ?? "";
  return e;
};

// Log is the turns of one model in one mode: {prompt, text, note, error}. on has what its buttons do.
export class Log {
  constructor(model, mode, on) {
    this.name = `${mode}.${model}`;
    this.chat = mode === "chat";
    this.on = on;
    this.turns = load(this.name) ?? [];
  }

  get last() {
    return this.turns.at(-1);
  }

  // show makes the page's log this one's.
  show() {
    box.replaceChildren(...this.turns.map((t) => this.view(t)));
    box.dataset.mode = this.chat ? "chat" : "complete";
    this.mark();
    box.scrollTop = box.scrollHeight;
  }

  add(turn) {
    this.turns.push(turn);
    box.append(this.view(turn));
    this.mark();
    box.scrollTop = box.scrollHeight;
  }

  clear() {
    this.turns = [];
    this.keep();
    this.show();
  }

  keep() {
    save(this.name, this.turns.length ? this.turns.slice(-mostKept) : null);
  }

  // mark lets only the last turn be made again, and welcomes where there is none.
  mark() {
    document.body.classList.toggle("empty", !this.turns.length);
    for (const e of box.children) e.classList.toggle("last", e === box.lastElementChild);
  }

  view(turn) {
    const e = element("article", "turn");
    const asked = element("div", "asked", turn.prompt);
    const answer = element("div", "answer");
    const error = element("p", "error", turn.error);
    const note = element("p", "note", turn.note);
    const actions = element("div", "actions");
    error.setAttribute("role", "alert");
    error.hidden = !turn.error;
    const button = (text, act, className) => {
      const b = element("button", `quiet ${className}`, text);
      b.type = "button";
      b.addEventListener("click", () => act(turn, b));
      actions.append(b);
    };
    button("Copy", (t, b) => copy(this.chat ? t.text : t.prompt + t.text, b), "");
    button(this.chat ? "Regenerate" : "Again", this.on.again, "redo");
    if (!this.chat) button("Continue", this.on.further, "redo");
    const text = element("div", "text");
    text.append(asked, answer);
    const foot = element("footer", "");
    foot.append(note, actions);
    e.append(text, error, foot);
    this.fill(answer, turn.text);
    return e;
  }

  fill(answer, text) {
    if (this.chat) answer.replaceChildren(render(text));
    else answer.textContent = text;
  }

  // begin returns what writes the answer to the last turn as it comes.
  begin() {
    const turn = this.last;
    const view = box.lastElementChild;
    const answer = view.querySelector(".answer");
    const note = view.querySelector(".note");
    const error = view.querySelector(".error");
    let coloured = false;
    let frame = 0;
    turn.error = "";
    error.hidden = true;
    note.textContent = "Waiting for the first token";
    this.fill(answer, turn.text);
    view.setAttribute("aria-busy", "true");
    view.classList.add("busy");
    const draw = (stats) => {
      frame = 0;
      const stick = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
      if (this.chat && !coloured) this.fill(answer, turn.text);
      note.textContent = describe(stats);
      if (stick) box.scrollTop = box.scrollHeight;
    };
    return {
      take: (piece, stats) => {
        if (piece.tokens.length && !coloured) {
          coloured = true;
          answer.textContent = turn.text;
        }
        turn.text += piece.text;
        if (coloured || !this.chat) answer.append(...spans(piece));
        frame ||= requestAnimationFrame(() => draw(stats));
      },
      end: (stats, failure) => {
        cancelAnimationFrame(frame);
        view.setAttribute("aria-busy", "false");
        view.classList.remove("busy");
        turn.note = stats ? describe(stats) : "";
        if (stats) draw(stats);
        else note.textContent = "";
        if (failure) {
          error.textContent = turn.error = failure.message;
          error.hidden = false;
          box.scrollTop = box.scrollHeight;
        }
        this.keep();
      },
    };
  }
}

// copy puts text on the clipboard, and says so on the button. Without TLS browsers only know the old way.
export async function copy(text, button) {
  const name = button.textContent;
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", "sr");
    area.value = text;
    button.after(area);
    area.select();
    copied = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = copied ? "Copied" : "Not copied";
  setTimeout(() => (button.textContent = name), 1500);
}
