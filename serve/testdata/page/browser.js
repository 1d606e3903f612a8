// What the page's tests stand on: a server, a browser, and pages that note whatever goes wrong in them.

import assert from "node:assert/strict";
import {spawn} from "node:child_process";
import {createInterface} from "node:readline";
import {chromium} from "playwright-core";

const program = process.env.LLMQAT_SERVE ?? "../../../bin/llmqat-serve";

// serve starts a server, by default of the demo model, and returns when it is ready. Generic kernels on one
// thread are slow enough for an answer to be watched.
export async function serve(...flags) {
  const child = spawn(program, ["--addr", "127.0.0.1:0", "--threads", "1", ...flags], {
    env: {...process.env, LLMQAT_ISA: "generic"}, stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise((go) => child.on("close", go).on("error", go));
  const lines = [];
  const url = await new Promise((go, fail) => {
    let found = "";
    createInterface(child.stderr).on("line", (line) => {
      lines.push(line);
      found ||= line.match(/url=(\S+)/)?.[1] ?? "";
      if (/msg=ready/.test(line)) go(found);
    });
    ended.then((why) => fail(new Error(`${program} ended: ${why}\n${lines.join("\n")}`)));
  });
  return {
    url,
    address: new URL(url).host,
    metric: async (name) => Number((await (await fetch(`${url}/metrics`)).text()).match(new RegExp(`^${name} (\\S+)`, "m"))?.[1]),
    // load keeps n requests running, until the function that it returns is called.
    load(n) {
      const end = new AbortController();
      const body = JSON.stringify({prompt: "Once upon a time", max_tokens: 500, ignore_eos: true});
      const go = async () => {
        for (;;) await (await fetch(`${url}/v1/completions`, {method: "POST", body, signal: end.signal})).text();
      };
      const all = Promise.allSettled(Array.from({length: n}, go));
      return () => (end.abort(), all);
    },
    async stop() {
      child.kill("SIGTERM");
      assert.equal(await ended, 0, lines.join("\n"));
    },
  };
}

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"], // it refuses to be root otherwise; it only visits our own server
});

export const desktop = {viewport: {width: 1280, height: 800}};
export const phone = {viewport: {width: 390, height: 844}, hasTouch: true, isMobile: true, deviceScaleFactor: 2};

// open returns a page of its own context at url. page.problems lists errors of scripts, violations of the policy,
// requests to elsewhere and console messages, apart from the browser's word on answers of 400 and more.
export async function open(browser, url, options = desktop, before = async () => {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.problems = [];
  page.on("pageerror", (err) => page.problems.push(`script: ${err.stack}`));
  page.on("console", (m) => {
    if (!/^Failed to load resource/.test(m.text())) page.problems.push(`console: ${m.text()}`);
  });
  page.on("request", (r) => {
    if (!r.url().startsWith(url) && !r.url().startsWith("data:")) page.problems.push(`request to ${r.url()}`);
  });
  await before(page);
  await page.goto(url);
  return page;
}

export const ready = (page) => page.waitForSelector("body.ready");

// field is a parameter.
export const field = (page, label) => page.locator("#parameters").getByLabel(label, {exact: true});

// answered waits for the last answer's end and returns its parts.
export async function answered(page) {
  const last = page.locator(".turn.last");
  await page.waitForSelector(".turn.last:not(.busy)");
  return {
    text: await last.locator(".answer").textContent(),
    note: await last.locator(".note").textContent(),
    error: (await last.locator(".error").isVisible()) ? await last.locator(".error").textContent() : "",
  };
}

// fits checks that nothing is wider than the page.
export async function fits(page) {
  const [wide, width] = await page.evaluate(() => [Math.max(document.documentElement.scrollWidth, document.body.scrollWidth), innerWidth]);
  assert.ok(wide <= width, `the page is ${wide} px wide in a window of ${width}`);
}

// sse spells chunks as a stream of server-sent events.
export const sse = (...chunks) => chunks.map((c) => `data: ${typeof c === "string" ? c : JSON.stringify(c)}\n\n`).join("");
