// Makes the pictures of a report in docs/images: node screenshots.js REPORT-FOLDER IMAGE-FOLDER. Beside serve/testdata/page,
// whose browser.js this takes, and with pngquant.

import {execFileSync} from "node:child_process";
import {pathToFileURL} from "node:url";
import {desktop, launch, open, phone} from "./browser.js";

const [report, images] = process.argv.slice(2);
if (!images) throw new Error("want the folder of the report and that of the pictures");

const browser = await launch();
const shots = [
  {name: "report-desktop", options: {...desktop, viewport: {width: 1200, height: 1280}}},
  {name: "report-dark", options: {...desktop, viewport: {width: 1200, height: 1280}, colorScheme: "dark"}},
  {name: "report-phone", options: {...phone, deviceScaleFactor: 1.5}},
];
for (const shot of shots) {
  const page = await open(browser, pathToFileURL(`${report}/report.html`).href, shot.options);
  await page.evaluate(() => document.querySelectorAll("section[id^=set]").item(document.querySelectorAll("section[id^=set]").length - 1).scrollIntoView());
  const path = `${images}/${shot.name}.png`;
  await page.screenshot({path});
  execFileSync("pngquant", ["--force", "--strip", "--output", path, path]);
  await page.context().close();
}
await browser.close();
