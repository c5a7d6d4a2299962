// Opens pages of `cosmic report` in a browser and checks what a reader relies on: check.mjs CHROMIUM PAGES SCREENSHOTS.
//
// A page NAME.html must ask for nothing, run without an error or a violation of its Content-Security-Policy, fit a phone,
// sort, copy, pass axe-core in both colour schemes, and show the figures of NAME.Results.json where that lies beside it.

import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [executablePath, pages, screenshots] = process.argv.slice(2).map((argument) => resolve(argument));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = { desktop: 1280, phone: 390 };
const SCHEMES = ["light", "dark"];
// What a run shows first, by their places in Results.json.
const FIGURES = [
  ["R2"], ["MAE"], ["Bias"], ["Precision"], ["outliers_0.05"], ["outliers_0.15"],
  ["counts", "rows"], ["counts", "flagged"], ["counts", "compared"], ["counts", "files"], ["counts", "ranks"],
  ["timings", "wall_seconds"], ["throughput", "galaxies_per_second"], ["throughput", "bytes_per_second"],
];

const failures = [];
const check = (holds, what) => {
  if (!holds) {
    failures.push(what);
    console.error(`FAILED  ${what}`);
  }
};

async function checkLoading(page, name, requests, errors) {
  check(requests.length === 0, `${name} asks for nothing: ${requests.slice(0, 3)}`);
  check(errors.length === 0, `${name} has no errors: ${errors.slice(0, 3)}`);
  const title = await page.title();
  check(!title.startsWith("owned"), `${name} ran a script of its data`);
  const foreign = await page.evaluate(() => document.querySelectorAll("script, style, iframe, object, embed, link, form").length);
  check(foreign === 2, `${name} has one style sheet and one script, found ${foreign} such elements`);
  const handlers = await page.evaluate(() =>
    Array.from(document.querySelectorAll("*"), (element) => Array.from(element.attributes, (attribute) => attribute.name))
      .flat()
      .filter((attribute) => attribute.startsWith("on") || attribute === "style"));
  check(handlers.length === 0, `${name} has no handlers or styles in attributes: ${handlers.slice(0, 3)}`);
}

async function checkWidth(page, name) {
  const [needed, there] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  check(needed <= there, `${name} needs ${needed} of ${there} pixels`);
}

async function checkContrastAndMore(page, name) {
  // In the page's own world, as the policy lets no script be added; the browser's tools are not bound by it.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, nodes, help } of violations) {
    check(false, `${name}: axe-core: ${id}: ${help}: ${nodes.slice(0, 2).map((node) => node.html.slice(0, 160)).join(" | ")}`);
  }
}

async function checkFigures(page, name, results) {
  const shown = new Set(await page.locator("#figures data").evaluateAll((all) => all.map((element) => Number(element.value))));
  for (const place of FIGURES) {
    const figure = place.reduce((value, key) => value[key], results);
    check(figure === null || shown.has(figure), `${name} shows ${place.join(".")} = ${figure}`);
  }
  const complete = await page.locator(".verdict.complete").count();
  check((complete === 1) === results.complete, `${name} says whether it is complete`);
}

async function checkSorting(page, name) {
  const tables = page.locator("table.sortable");
  for (let index = 0; index < (await tables.count()); index += 1) {
    const table = tables.nth(index);
    const columns = await table.locator("th").count();
    for (let column = 0; column < columns; column += 1) {
      const head = table.locator("th").nth(column);
      const button = head.locator("button");
      const numbers = () => table.locator("tbody tr").evaluateAll(
        (rows, at) => rows.map((row) => row.cells[at].dataset.v).filter((value) => value !== undefined).map(Number), column);
      // By the keyboard, which a click would not prove.
      await button.focus();
      await page.keyboard.press("Enter");
      check((await head.getAttribute("aria-sort")) === "ascending", `${name}: table ${index}, column ${column} says that it is sorted`);
      const ascending = await numbers();
      check(ascending.every((value, at) => at === 0 || ascending[at - 1] <= value), `${name}: table ${index}, column ${column} sorts`);
      await page.keyboard.press("Space");
      check((await head.getAttribute("aria-sort")) === "descending", `${name}: table ${index}, column ${column} turns round`);
      const descending = await numbers();
      check(descending.every((value, at) => at === 0 || descending[at - 1] >= value), `${name}: table ${index}, column ${column} sorts back`);
      const sorted = await table.locator("th:not([aria-sort=none])").count();
      check(sorted === 1, `${name}: table ${index} is sorted by one column`);
    }
  }
}

async function checkCopying(page, name, errors) {
  const number = page.locator("data.n").first();
  const exact = await number.getAttribute("value");
  const copied = () => page.evaluate(() => navigator.clipboard.readText());
  await number.click();
  await page.locator(".said", { hasText: "copied" }).waitFor({ timeout: 2000 }).catch(() => check(false, `${name} says that it copied`));
  check((await copied()) === exact, `${name} copies ${exact}`);
  const button = page.locator("button.copy").first();
  if (await button.count()) {
    await button.click();
    await page.waitForFunction(() => document.querySelector(".said").textContent.includes("table"));
    check((await copied()).includes("\t"), `${name} copies a table`);
  }
  // A browser that gives a page of a file no clipboard.
  await page.evaluate(() => Object.defineProperty(Navigator.prototype, "clipboard", { get: () => undefined }));
  await number.click();
  await page.locator(".said", { hasText: /copied|does not let/ }).waitFor();
  check(errors.length === 0, `${name} has no errors without a clipboard: ${errors}`);
}

async function open(browser, file, options) {
  const context = await browser.newContext({ permissions: ["clipboard-read", "clipboard-write"], ...options });
  const page = await context.newPage();
  const [requests, errors] = [[], []];
  const address = pathToFileURL(file).href;
  page.on("request", (request) => {
    if (request.url() !== address && !request.url().startsWith("data:")) {
      requests.push(request.url());
    }
  });
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" || /Content.Security.Policy/i.test(message.text())) {
      errors.push(message.text());
    }
  });
  page.on("dialog", (dialog) => {
    errors.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.goto(address);
  return { context, page, requests, errors };
}

const browser = await chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
mkdirSync(screenshots, { recursive: true });
const found = readdirSync(pages);
const names = found.filter((file) => file.endsWith(".html")).map((file) => file.slice(0, -".html".length));
for (const name of names) {
  const file = join(pages, `${name}.html`);
  const size = readFileSync(file).length;
  check(size < 3_000_000, `${name} has ${size} bytes`);
  for (const [kind, width] of Object.entries(WIDTHS)) {
    for (const colorScheme of SCHEMES) {
      const { context, page, requests, errors } = await open(browser, file, { colorScheme, viewport: { width, height: 900 } });
      const view = `${name} (${kind}, ${colorScheme})`;
      await page.locator("details").evaluateAll((all) => all.forEach((details) => { details.open = true; }));
      await checkLoading(page, view, requests, errors);
      await checkWidth(page, view);
      await page.screenshot({ path: join(screenshots, `${name}-${kind}-${colorScheme}.png`), fullPage: true });
      await checkContrastAndMore(page, view);
      await context.close();
    }
  }
  const { context, page, errors } = await open(browser, file, { viewport: { width: 1280, height: 900 } });
  if (found.includes(`${name}.Results.json`)) {
    await checkFigures(page, name, JSON.parse(readFileSync(join(pages, `${name}.Results.json`), "utf8")));
  }
  await page.pdf({ path: join(screenshots, `${name}.pdf`), format: "A4", printBackground: true });
  await checkSorting(page, name);
  await checkCopying(page, name, errors);
  await context.close();

  const plain = await open(browser, file, { javaScriptEnabled: false, viewport: { width: 390, height: 900 } });
  check((await plain.page.locator("main section").count()) > 0, `${name} can be read without its script`);
  await plain.context.close();
  console.log(`${name}: looked at`);
}
await browser.close();
check(names.length > 0, `there are pages in ${pages}`);
if (failures.length > 0) {
  console.error(`${failures.length} checks failed`);
  process.exit(1);
}
console.log(`${names.length} pages pass; screenshots are in ${screenshots}`);
