// The server's API: what is asked, the server's own words where it refuses, and streams event by event.

export class Refused extends Error {
  constructor(status, error) {
    super(error.message ?? `the server answered ${status}`);
    Object.assign(this, {status, code: error.code, param: error.param});
  }
}

export class Gone extends Error {}

const keyName = "llmqat.key";
export const setKey = (key) => sessionStorage.setItem(keyName, key);

// request returns the response to a GET, or to a POST of body. Paths are relative: the page may stand behind a
// proxy's prefix.
export async function request(path, body, signal) {
  const headers = {};
  const key = sessionStorage.getItem(keyName);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal, cache: "no-store"});
  } catch (err) {
    throw err.name === "AbortError" ? err : new Gone("The server does not answer.");
  }
  if (response.ok) return response;
  const text = await response.text();
  let error = {message: text.trim() || undefined};
  try {
    error = JSON.parse(text).error ?? error;
  } catch {} // a proxy's answer
  throw new Refused(response.status, error);
}

export const json = async (path, body, signal) => (await request(path, body, signal)).json();

// events yields the data of server-sent events, to the end of the stream.
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let data = [];
  try {
    for (;;) {
      const {value, done} = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines.map((l) => l.replace(/\r$/, ""))) {
        if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        if (line === "" && data.length) {
          yield data.join("\n");
          data = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
