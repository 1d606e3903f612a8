// What this browser keeps. It may refuse to: then nothing is kept.

const prefix = "llmqat.";

export function load(name) {
  try {
    return JSON.parse(localStorage.getItem(prefix + name));
  } catch {
    return null;
  }
}

export function save(name, value) {
  try {
    if (value === null) localStorage.removeItem(prefix + name);
    else localStorage.setItem(prefix + name, JSON.stringify(value));
  } catch {} // full, or forbidden
}
