// Reports in Chromium: REPORTS lists the folders. Beside serve/testdata/page, whose browser.js this takes.

import assert from "node:assert/strict";
import {after, before, test} from "node:test";
import {pathToFileURL} from "node:url";
import {desktop, fits, launch, open, phone} from "./browser.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const looks = {desktop, phone, dark: {...desktop, colorScheme: "dark"}, "no scripts": {...desktop, javaScriptEnabled: false}};

for (const folder of process.env.REPORTS.split(" ")) {
  for (const [name, options] of Object.entries(looks)) {
    test(`${folder}, ${name}`, async () => {
      const page = await open(browser, pathToFileURL(`${folder}/report.html`).href, options);
      try {
        const sets = await page.locator("section[id^=set]").count();
        assert.ok(sets > 0, "no sets");
        for (const svg of await page.locator("figure svg").all()) {
          const box = await svg.boundingBox();
          assert.ok(box.width > 250 && box.height > 100, `a picture of ${box.width} by ${box.height}`);
        }
        assert.equal(await page.locator("figure svg").count(), 4 * sets);
        assert.ok((await page.locator("table").count()) >= 4 * sets);
        for (const text of await page.locator("td:not(.note), th, dd, figcaption").allInnerTexts()) assert.match(text, /\S/);
        assert.doesNotMatch(await page.locator("body").innerText(), /NaN|Infinity|undefined|%!|<no value>/);
        assert.match(await page.locator("tbody td").first().evaluate((e) => getComputedStyle(e).textAlign), /right/);
        const ground = await page.locator("body").evaluate((e) => getComputedStyle(e).backgroundColor);
        assert.equal(ground, name === "dark" ? "rgb(20, 23, 26)" : "rgb(255, 255, 255)");
        await fits(page);
        assert.deepEqual(await page.locator("figure svg").evaluateAll(onEachOther), [], "texts lie on each other");
        assert.deepEqual(page.problems, []);
      } finally {
        await page.context().close();
      }
    });
  }
}

// onEachOther lists the pairs of level texts of a picture that overlap.
function onEachOther(pictures) {
  const found = [];
  for (const svg of pictures) {
    const texts = [...svg.querySelectorAll("text")].filter((e) => Math.abs(e.getScreenCTM().b) < 1e-6).map((e) => [e.textContent, e.getBoundingClientRect()]);
    texts.forEach(([a, r], i) => {
      for (const [b, s] of texts.slice(i + 1)) {
        const wide = Math.min(r.right, s.right) - Math.max(r.left, s.left), high = Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top);
        if (wide > 1 && high > 3) found.push(`${a} | ${b}`); // lines of a legend may touch by what letters leave free
      }
    });
  }
  return found;
}
