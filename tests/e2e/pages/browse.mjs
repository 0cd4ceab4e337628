// Drives pages in Chromium. One JSON command a line in, one JSON answer a line out.
// Usage: node browse.mjs ARTIFACTS, with the packages of package.json beside it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { CHROMIUM } from "../chromium.mjs";

const require = createRequire(import.meta.url);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [artifacts] = process.argv.slice(2);
const browser = await chromium.launch(CHROMIUM);
let context;
let page;
/** What the browser complained about, such as what the page's policy forbade, and foreign hosts. */
let complaints = [];

const commands = {
  /** A new window of a new user. */
  async window({ scheme, locale, width, scripts = true }) {
    await context?.close();
    complaints = [];
    context = await browser.newContext({
      colorScheme: scheme,
      locale,
      viewport: { width, height: 900 },
      javaScriptEnabled: scripts,
      permissions: ["clipboard-read", "clipboard-write"],
    });
    page = await context.newPage();
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("request", (request) => {
      if (new URL(request.url()).hostname !== "127.0.0.1") complaints.push(`asked ${request.url()}`);
    });
  },
  async open({ url }) {
    await page.goto(url);
    return page.url();
  },
  async fill({ selector, text }) {
    await page.locator(selector).fill(text);
  },
  async press({ key }) {
    await page.keyboard.press(key);
  },
  async click({ selector }) {
    await page.locator(selector).click();
  },
  async text({ selector }) {
    return page.locator(selector).first().innerText();
  },
  async wait({ selector, text }) {
    const found = page.locator(selector);
    await (text === undefined ? found : found.filter({ hasText: text })).first().waitFor();
  },
  async evaluate({ code }) {
    return page.evaluate(code);
  },
  async cookies() {
    return context.cookies();
  },
  async url() {
    return page.url();
  },
  /** Whether the page, which is then in the background, thinks that it is hidden. */
  async hide() {
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
  },
  /** Everything that axe-core finds wrong, and what does not fit the window's width. */
  async faults() {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => axe.run(document));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    return [
      ...violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target).join(", ")}`),
      ...(wide > 0 ? [`the page is ${wide} px wider than the window`] : []),
      ...complaints,
    ];
  },
  async screenshot({ name }) {
    await page.screenshot({ path: join(artifacts, `${name}.png`), fullPage: true });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...options } = JSON.parse(line);
  try {
    page?.setDefaultTimeout(15_000);
    console.log(JSON.stringify({ ok: true, value: (await commands[name](options)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ ok: false, error: String(error) }));
  }
}
await browser.close();
