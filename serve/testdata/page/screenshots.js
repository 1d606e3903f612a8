// Makes the pictures in docs/images: node screenshots.js FOLDER. It takes what page.test.js takes, and pngquant.

import {execFileSync} from "node:child_process";
import {answered, desktop, field, launch, open, phone, ready, serve} from "./browser.js";

const folder = process.argv[2];
if (!folder) throw new Error("want the folder for the pictures");

const server = await serve();
const browser = await launch();
const shots = [
  {name: "page-desktop", options: desktop, load: 6},
  {name: "page-probabilities", options: {...desktop, colorScheme: "dark"}, load: 9, tokens: true},
  {name: "page-phone", options: {...phone, deviceScaleFactor: 1.5}, load: 3, ended: true},
  {name: "page-phone-server", options: {...phone, deviceScaleFactor: 1.5}, load: 5, panel: true},
];
for (const shot of shots) {
  const page = await open(browser, server.url, shot.options);
  await ready(page);
  const end = server.load(shot.load);
  await field(page, "Seed").evaluate((e) => ((e.value = 11), e.dispatchEvent(new Event("input", {bubbles: true}))));
  if (shot.tokens) await page.getByLabel("Show each token's probability").check();
  await page.click("#send");
  await page.waitForFunction(() => document.querySelectorAll("#line polyline")[0].points.length >= 6);
  await page.waitForFunction(() => document.querySelector(".answer").textContent.length > 350);
  if (shot.ended) await answered(page);
  if (shot.tokens) await page.locator(".token").nth(30).hover();
  if (shot.panel) await page.tap("#panel-open");
  const path = `${folder}/${shot.name}.png`;
  await page.screenshot({path});
  execFileSync("pngquant", ["--force", "--strip", "--output", path, path]);
  await end();
  await page.context().close();
}
await browser.close();
await server.stop();
