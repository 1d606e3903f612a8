// The page in Chromium, against llmqat-serve's demo model. LLMQAT_SERVE and CHROMIUM say where the programs are.

import assert from "node:assert/strict";
import {after, before, test} from "node:test";
import {answered, desktop, field, fits, launch, open, phone, ready, serve, sse} from "./browser.js";

let browser, server;
before(async () => ([browser, server] = await Promise.all([launch(), serve()])));
after(async () => {
  await browser?.close();
  await server?.stop();
});

// visit runs f on a page, in which nothing may have gone wrong at the end.
const visit = (name, options, f, prepare) => test(name, async () => {
  const page = await open(browser, server.url, options, prepare);
  try {
    await f(page);
    assert.deepEqual(page.problems, []);
  } finally {
    await page.context().close();
  }
});

const sent = (page, path) => page.waitForRequest((r) => r.url().endsWith(path)).then((r) => r.postDataJSON());

visit("the page is light, and tells what is served", desktop, async (page) => {
  await ready(page);
  const sizes = await page.evaluate(() => performance.getEntries().filter((e) => /\/$|\/page\//.test(e.name)).map((e) => e.decodedBodySize));
  const weight = sizes.reduce((a, b) => a + b, 0);
  assert.ok(weight > 10_000 && weight < 60_000, `${weight} bytes`);
  const card = await page.locator("#card").innerText();
  for (const s of ["4 bits, head-zp", "8 bits", "260 K (260,032)", "stories260K-float.qat", "sha256:7041", "3,000 steps", "llmqat-train", "cpu/generic", "none"]) {
    assert.ok(card.includes(s), `the card lacks ${s}:\n${card}`);
  }
  assert.equal(await page.locator("#model-bits").innerText(), "W4 A8 KV4");
  assert.match(await page.locator("#welcome").innerText(), /Chat is off: this model has no chat template/);
  await page.locator("#mode-chat").click({force: true}); // off, and says why
  assert.match(await page.locator("#notice").innerText(), /Chat is off/);
  assert.equal(await page.locator("#mode-complete").getAttribute("aria-pressed"), "true");
});

visit("a text is completed as it comes, again and further", desktop, async (page) => {
  await ready(page);
  await field(page, "Seed").fill("7");
  await field(page, "Max tokens").fill("160");
  const body = sent(page, "/v1/completions");
  await page.locator("#prompt").press("Enter");
  const {prompt, seed, max_tokens, temperature, stream} = await body;
  assert.deepEqual({seed, max_tokens, temperature, stream}, {seed: 7, max_tokens: 160, temperature: 0.8, stream: true});
  assert.match(prompt, /^Once upon a time/);
  const early = await (await page.waitForFunction(() => document.querySelector(".turn.busy .answer")?.textContent)).jsonValue();
  const first = await answered(page);
  assert.ok(first.text.startsWith(early) && first.text.length > early.length, `came at once: ${early}`);
  assert.match(first.note, /[\d,.]+ tokens\/s · first after [\d.]+ m?s · 160 tokens · prompt \d+.* · cut at max tokens/);

  await page.getByRole("button", {name: "Again"}).click();
  assert.equal((await answered(page)).text, first.text, "the same seed, another text");
  await page.getByRole("button", {name: "Continue"}).click();
  await page.waitForFunction((n) => document.querySelector(".answer").textContent.length > n, first.text.length);
  const longer = await answered(page);
  assert.ok(longer.text.startsWith(first.text));

  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", {name: "Copy"}).click();
  await page.getByRole("button", {name: "Copied"}).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), prompt + longer.text);

  await page.reload();
  await ready(page);
  assert.equal((await answered(page)).text, longer.text, "a reload loses the text");
  assert.equal(await field(page, "Seed").inputValue(), "7");
  await page.getByRole("button", {name: "Reset"}).click();
  assert.equal(await field(page, "Seed").inputValue(), "");
  await page.click("#clear");
  await page.reload();
  await ready(page);
  assert.equal(await page.locator(".turn").count(), 0, "cleared, and there again");
});

visit("parameters reach the server, and stop strings stop", desktop, async (page) => {
  await ready(page);
  const values = {"Temperature": "0", "Top p": "0.5", "Top k": "7", "Min p": "0.1", "Repetition penalty": "1.1", "Stop at": "Lily|\\n", "Max tokens": "200"};
  for (const [label, value] of Object.entries(values)) await field(page, label).fill(value);
  await page.locator("#prompt").fill("Once upon a time");
  await page.locator("#prompt").press("Shift+Enter");
  assert.equal(await page.locator("#prompt").inputValue(), "Once upon a time\n");
  await page.locator("#prompt").fill("Once upon a time");
  const body = sent(page, "/v1/completions");
  await page.click("#send");
  const {temperature, top_p, top_k, min_p, repetition_penalty, stop, max_tokens} = await body;
  assert.deepEqual({temperature, top_p, top_k, min_p, repetition_penalty, stop, max_tokens},
    {temperature: 0, top_p: 0.5, top_k: 7, min_p: 0.1, repetition_penalty: 1.1, stop: ["Lily", "\n"], max_tokens: 200});
  const {text, note} = await answered(page);
  assert.ok(text && !/Lily|\n/.test(text), text);
  assert.match(note, /ended by itself/);
});

visit("a prompt met again comes from the cache", desktop, async (page) => {
  await ready(page);
  await field(page, "Max tokens").fill("4");
  await page.locator("#prompt").fill("One day Tim and Sue went to the park to play with a ball. ".repeat(5));
  await page.click("#send");
  await answered(page);
  await page.click("#send");
  await page.waitForFunction(() => document.querySelectorAll(".turn").length === 2);
  assert.match((await answered(page)).note, /prompt \d+, \d+ from the cache/);
});

visit("Escape stops an answer, and its place is free", desktop, async (page) => {
  await ready(page);
  const left = await server.metric("llmqat_clients_left_total");
  await field(page, "Max tokens").fill("480");
  await page.click("#send");
  await page.waitForFunction(() => document.querySelector(".turn.busy .answer")?.textContent.length > 0);
  await page.keyboard.press("Escape");
  assert.match((await answered(page)).note, /stopped/);
  assert.ok(await page.locator("#send").isVisible());
  for (let i = 0; (await server.metric("llmqat_clients_left_total")) === left; i++) {
    assert.ok(i < 400, "the server goes on for nobody");
    await new Promise((go) => setTimeout(go, 10));
  }
  await page.waitForFunction(() => /^0 of \d+ running/.test(document.getElementById("batch-text").textContent));
});

visit("the server's own words where it refuses", desktop, async (page) => {
  await ready(page);
  await field(page, "Max tokens").fill("10");
  await field(page, "Temperature").fill("9");
  await page.click("#send");
  assert.match((await answered(page)).error, /temperature: want a number from 0 to 2, got 9/);
  assert.equal(await field(page, "Temperature").getAttribute("aria-invalid"), "true");
  await field(page, "Temperature").fill("0.5");
  await page.getByRole("button", {name: "Again"}).click();
  assert.deepEqual((await answered(page)).error, "");
  assert.equal(await field(page, "Temperature").getAttribute("aria-invalid"), "false");
  await page.locator("#prompt").fill("all the words ".repeat(400));
  await page.click("#send");
  assert.match((await answered(page)).error, /The context of 512 tokens is full/);
});

visit("the live picture shows the batch, and rests while nobody looks", desktop, async (page) => {
  await ready(page);
  const end = server.load(5);
  after(end);
  await page.waitForFunction(() => /^5 of \d+ running/.test(document.getElementById("batch-text").textContent) &&
    document.querySelectorAll("#slots .used").length === 5 && document.querySelectorAll("#pages .used").length >= 5 &&
    document.getElementById("rate").textContent !== "0");
  await field(page, "Max tokens").fill("4");
  await page.click("#send");
  await answered(page);
  assert.ok(await page.getByRole("button", {name: "Again"}).isVisible(), "others' work hides the buttons");
  assert.ok((await page.locator("#line polyline").getAttribute("points")).length > 0);
  await end();
  await page.waitForFunction(() => /^0 of \d+ running/.test(document.getElementById("batch-text").textContent));
  assert.equal(await page.locator("#pages .used").count(), 0);

  const hide = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await hide(true);
  await page.waitForTimeout(200); // what is under way
  let polls = 0;
  page.on("request", (r) => (polls += r.url().endsWith("/metrics")));
  await page.waitForTimeout(2200);
  assert.equal(polls, 0, "polled unseen");
  await hide(false);
  await page.waitForRequest((r) => r.url().endsWith("/metrics"));
});

visit("each token's probability, and what else there was", desktop, async (page) => {
  await ready(page);
  await page.getByLabel("Show each token's probability").check();
  await field(page, "Max tokens").fill("20");
  await page.click("#send");
  const {text} = await answered(page);
  const tokens = page.locator(".token");
  assert.equal(await tokens.count(), 20);
  assert.equal((await tokens.allTextContents()).join(""), text);
  await tokens.nth(3).hover();
  const rows = page.locator("#alternatives p");
  assert.ok((await rows.count()) >= 5);
  assert.equal(await page.locator("#alternatives .taken").count(), 1);
  assert.match(await rows.first().innerText(), /\d %/);
  await page.locator("#log").focus();
  await page.keyboard.press("ArrowRight");
  assert.ok(await tokens.nth(4).evaluate((e) => e.classList.contains("chosen")));
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#alternatives").isHidden());
});

let starting = 2;
visit("a server that loads its model is waited for", desktop, async (page) => {
  await page.getByText("The model is loading.").waitFor();
  await page.getByRole("button", {name: "Now"}).click();
  await ready(page);
  assert.ok(await page.locator("#notice").isHidden());
}, (page) => page.route("**/ready", (route) => (starting-- > 0
  ? route.fulfill({status: 503, contentType: "application/json", body: '{"error":{"message":"the model is loading","type":"server_error","param":null,"code":"unavailable"}}'})
  : route.continue())));

test("a server that is gone is waited for", async () => {
  const other = await serve();
  const page = await open(browser, other.url);
  await ready(page);
  await other.stop();
  await page.getByText("The server does not answer.").waitFor();
  const again = await serve("--addr", other.address);
  try {
    await page.waitForFunction(() => document.getElementById("notice").hidden);
    await page.click("#send");
    assert.equal((await answered(page)).error, "");
    assert.deepEqual(page.problems, []);
  } finally {
    await page.context().close();
    await again.stop();
  }
});

test("a key is asked for, and kept for the tab", async () => {
  const locked = await serve("--api-key", "sesame");
  const page = await open(browser, locked.url);
  try {
    await page.getByText("No API key").waitFor();
    assert.ok(await page.getByLabel("Key", {exact: true}).evaluate((e) => e === document.activeElement));
    await page.getByLabel("Key", {exact: true}).fill("wrong");
    await page.keyboard.press("Enter");
    await page.getByText("This API key is not known").waitFor();
    await page.getByLabel("Key", {exact: true}).fill("sesame");
    await page.keyboard.press("Enter");
    await ready(page);
    await page.reload();
    await ready(page);
    await field(page, "Max tokens").fill("8");
    await page.click("#send");
    assert.equal((await answered(page)).error, "");
    await page.waitForFunction(() => /running/.test(document.getElementById("batch-text").textContent)); // metrics want it, too
    assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes("sesame")), false);
    assert.deepEqual(page.problems, []);
  } finally {
    await page.context().close();
    await locked.stop();
  }
});

test("a conversation", async () => {
  const chatty = await serve("--chat-template", "chatml");
  const page = await open(browser, chatty.url);
  try {
    await ready(page);
    assert.equal(await page.locator("#mode-chat").getAttribute("aria-pressed"), "true");
    assert.match(await page.locator("#card").innerText(), /chatml/);
    assert.match(await page.locator("#welcome").innerText(), /Chat with it/);
    await field(page, "System prompt").fill("Be kind.");
    await field(page, "Max tokens").fill("24");
    const say = async (text) => {
      const body = sent(page, "/v1/chat/completions");
      await page.locator("#prompt").fill(text);
      await page.locator("#prompt").press("Enter");
      const {messages} = await body;
      return [messages, await answered(page)];
    };
    let [messages, first] = await say("Who is Lily?");
    assert.deepEqual(messages, [{role: "system", content: "Be kind."}, {role: "user", content: "Who is Lily?"}]);
    assert.ok(first.text && !first.error, first.error);
    assert.match(first.note, /tokens\/s/);
    assert.equal(await page.locator("#prompt").inputValue(), "");
    const kept = await page.evaluate(() => JSON.parse(localStorage["llmqat.chat.stories260K"])[0].text);
    let second;
    [messages, second] = await say("And Tim?");
    assert.deepEqual(messages.slice(1), [{role: "user", content: "Who is Lily?"}, {role: "assistant", content: kept}, {role: "user", content: "And Tim?"}]);
    const body = sent(page, "/v1/chat/completions");
    await page.getByRole("button", {name: "Regenerate"}).click();
    assert.deepEqual((await body).messages, messages);
    await answered(page);

    await page.getByLabel("Show each token's probability").check();
    await field(page, "Max tokens").fill("500"); // more than there is room for
    [messages, second] = await say("Once upon a time");
    assert.equal(second.error, "");
    assert.ok((await page.locator(".turn.last .token").count()) > 1);

    await page.click("#mode-complete");
    assert.equal(await page.locator(".turn").count(), 0);
    await page.click("#mode-chat");
    assert.equal(await page.locator(".turn").count(), 3);
    await fits(page);
    assert.deepEqual(page.problems, []);
  } finally {
    await page.context().close();
    await chatty.stop();
  }
});

const hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script> **bold** [x](javascript:alert(1))';

visit("what a model writes is text", desktop, async (page) => {
  await ready(page);
  await page.route("**/v1/completions", (route) => route.fulfill({
    contentType: "text/event-stream",
    body: sse({choices: [{index: 0, text: hostile, logprobs: null, finish_reason: "stop"}]}, "[DONE]"),
  }));
  await page.click("#send");
  assert.equal((await answered(page)).text, hostile);
  const html = await page.evaluate(async (text) => {
    const {render} = await import("/page/markdown.js");
    const box = document.createElement("div");
    box.append(render(text));
    return box.innerHTML;
  }, hostile);
  assert.ok(!/<img|<script|href/.test(html) && html.includes("<strong>bold</strong>"), html);
  assert.match(await page.title(), /stories260K/);
  assert.deepEqual(page.problems, []);
  await page.evaluate(() => {
    const s = document.createElement("script");
    s.textContent = "document.title = 'run'";
    document.head.append(s);
  });
  assert.match(page.problems.splice(0).join(), /Content Security Policy/i, "the policy lets inline scripts run");
  assert.match(await page.title(), /stories260K/);
});

visit("a stream that breaks off is said to", desktop, async (page) => {
  await ready(page);
  await page.route("**/v1/completions", (route) => route.fulfill({
    contentType: "text/event-stream", body: sse({choices: [{index: 0, text: "half", finish_reason: null}]}),
  }));
  await page.click("#send");
  const {text, error} = await answered(page);
  assert.equal(text, "half");
  assert.match(error, /broke off/);
});

visit("markdown, and events however they are cut", desktop, async (page) => {
  await ready(page);
  const html = (text) => page.evaluate(async (text) => {
    const {render} = await import("/page/markdown.js");
    const box = document.createElement("div");
    box.append(render(text));
    return box.innerHTML;
  }, text);
  for (const [text, want] of [
    ["a *b* __c__ `d*e*`", "<p>a <em>b</em> <strong>c</strong> <code>d*e*</code></p>"],
    ["snake_case_name 2*3*4", "<p>snake_case_name 2*3*4</p>"],
    ["# t\ntext", "<h3>t</h3><p>text</p>"],
    ["- a\n  - b\n- c", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"],
    ["3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'],
    ["> q", "<blockquote><p>q</p></blockquote>"],
    ["[l](https://a.b/c)", '<p><a href="https://a.b/c" target="_blank" rel="noopener noreferrer">l</a></p>'],
  ]) assert.equal(await html(text), want, text);
  assert.match(await html("```go\nx := <-c\n"), /<pre><code>x := &lt;-c\n?<\/code><\/pre>/);
  await html(">".repeat(20000) + "*".repeat(5000)); // ends, without a stack too deep

  const cut = await page.evaluate(async () => {
    const {events} = await import("/page/api.js");
    const bytes = new TextEncoder().encode(": ping\n\ndata: é\u{1f600}\r\n\r\ndata: a\ndata:b\n\n");
    for (let at = 0; at < bytes.length; at++) {
      const stream = new ReadableStream({start(c) {
        c.enqueue(bytes.slice(0, at));
        c.enqueue(bytes.slice(at));
        c.close();
      }});
      const got = [];
      for await (const data of events(stream)) got.push(data);
      if (got.join("|") !== "é\u{1f600}|a\nb") return `cut at ${at}: ${JSON.stringify(got)}`;
    }
    return "";
  });
  assert.equal(cut, "");
});

for (const width of [390, 360]) {
  visit(`on a phone ${width} px wide`, {...phone, viewport: {width, height: 780}}, async (page) => {
    await ready(page);
    await fits(page);
    await page.locator("#prompt").fill(`Once ${"longest".repeat(60)}`);
    await field(page, "Max tokens").evaluate((e) => ((e.value = 30), e.dispatchEvent(new Event("input", {bubbles: true}))));
    await page.tap("#send");
    await answered(page);
    await fits(page);
    await small(page);
    await page.tap("#panel-open");
    assert.ok(await page.locator("#live").isVisible());
    await fits(page);
    await small(page);
    await page.tap("#panel-close");
    assert.ok(await page.locator("#live").isHidden());
    await page.setViewportSize({width, height: 400}); // as if the keyboard came
    const box = await page.locator("#send").boundingBox();
    assert.ok(box.y + box.height <= 400, "the keyboard covers the button");
  });
}

// small checks that fingers can hit what is there to be hit.
async function small(page) {
  const found = await page.evaluate(() => [...document.querySelectorAll("button, input, textarea, summary")].filter((e) => e.checkVisibility()).map((e) => {
    const r = (e.type === "checkbox" ? e.parentElement : e).getBoundingClientRect();
    return r.height < 40 || r.width < 40 ? `${e.id || e.textContent}: ${r.width}x${r.height}` : "";
  }).filter((s) => s));
  assert.deepEqual(found, []);
}

for (const colorScheme of ["light", "dark"]) {
  visit(`readable and named, ${colorScheme}`, {...desktop, colorScheme, reducedMotion: "reduce"}, async (page) => {
    await ready(page);
    const {low, unnamed, twice, back} = await page.evaluate(() => {
      const style = getComputedStyle(document.documentElement);
      const light = (name) => {
        const hex = style.getPropertyValue(name).trim().slice(1);
        const full = hex.length === 3 ? [...hex].map((c) => c + c).join("") : hex;
        const [r, g, b] = [0, 2, 4].map((i) => parseInt(full.slice(i, i + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const pairs = [["--ink", "--back"], ["--ink", "--paper"], ["--ink", "--fill"], ["--soft", "--back"], ["--soft", "--paper"], ["--soft", "--fill"],
        ["--accent", "--paper"], ["--on-accent", "--accent"], ["--bad", "--bad-back"], ["--bad", "--paper"], ...[0, 1, 2, 3].map((i) => ["--ink", `--p${i}`])];
      const low = pairs.map(([a, b]) => [a, b, (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05)]).filter(([, , c]) => c < 4.5);
      const unnamed = [...document.querySelectorAll("button, input, textarea, [role=img], section, dialog")]
        .filter((e) => !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.id === "notice-button")).map((e) => e.outerHTML);
      const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
      return {low, unnamed, twice: ids.filter((id, i) => ids.indexOf(id) !== i), back: getComputedStyle(document.body).backgroundColor};
    });
    assert.deepEqual({low, unnamed, twice}, {low: [], unnamed: [], twice: []});
    assert.equal(back, {light: "rgb(247, 246, 243)", dark: "rgb(19, 20, 19)"}[colorScheme]);
  });
}
