// Drives VS Code in a real browser. One JSON command a line in, one JSON answer a line out.
// Usage: node drive.mjs PLAYWRIGHT_CORE ARTIFACTS
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { CHROMIUM } from "./chromium.mjs";

const [playwrightAt, artifacts] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwrightAt);
const browser = await chromium.launch(CHROMIUM);
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.grantPermissions(["clipboard-read", "clipboard-write"]);
/** Windows of the editor by name; a command that names none is for "main". */
const pages = { main: await context.newPage() };
let page = pages.main;

const input = ".part.auxiliarybar .interactive-input-editor";

const commands = {
  async open({ url, timeout }) {
    await page.goto(url);
    await page.locator(".monaco-workbench").waitFor({ timeout });
    await page.locator("#stoker\\.stoker\\.stoker\\.status, [id*='stoker.status']").first().waitFor({ timeout });
  },
  /** Runs a command of the palette by its visible title. */
  async palette({ title }) {
    await page.keyboard.press("F1");
    const box = page.locator(".quick-input-widget input.input");
    await box.waitFor();
    await box.fill(`>${title}`);
    const row = page.locator(".quick-input-list .monaco-list-row");
    await row.filter({ has: page.getByText(title, { exact: true }) }).first().click();
  },
  /** Answers an input box, known by a part of its title. The box shows its title before its present
   * value, which may come after what was typed: so until the text stays. */
  async answer({ title, text, timeout }) {
    await page.locator(".quick-input-title").filter({ hasText: title }).waitFor();
    const box = page.locator(".quick-input-widget input.input");
    for (const end = Date.now() + timeout; Date.now() < end; ) {
      await box.fill(text);
      await page.waitForTimeout(300);
      if ((await box.inputValue()) === text) return page.keyboard.press("Enter");
    }
    throw new Error(`the box ${title} does not keep ${text}`);
  },
  /** Chooses a model in the chat's picker; the chat may take the focus away, so until it is done.
   * Returns the clicks that a person needs. */
  async choose({ model, timeout }) {
    const label = page.locator(".part.auxiliarybar .model-picker-name");
    const widget = page.locator(".action-widget");
    const quick = { timeout: 3000 };
    let clicks = 0;
    for (const end = Date.now() + timeout; Date.now() < end; ) {
      if ((await label.innerText({ timeout })).includes(model)) return clicks;
      try {
        clicks = 2;
        await label.click(quick);
        await widget.locator("input").fill(model, quick);
        await widget.locator(".monaco-list-row").filter({ hasText: model }).first().click(quick);
        await label.filter({ hasText: model }).waitFor(quick);
      } catch {
        await page.keyboard.press("Escape");
      }
    }
    throw new Error(`the picker does not offer ${model}`);
  },
  async close({ page: name }) {
    await pages[name].close();
    delete pages[name];
  },
  async press({ key }) {
    await page.keyboard.press(key);
  },
  /** @param delay milliseconds from key to key */
  async type({ text, delay = 0 }) {
    await page.keyboard.type(text, { delay });
  },
  async click({ selector, text, timeout }) {
    await locate(selector, text).click({ timeout });
  },
  /** Waits until an element (with the text) is visible, or is gone. */
  async wait({ selector, text, gone, timeout }) {
    await locate(selector, text).waitFor({ state: gone ? "hidden" : "visible", timeout });
  },
  async texts({ selector }) {
    return page.locator(selector).allInnerTexts();
  },
  /** Types a question and sends it. A chat that is still opening may take the focus away or lose
   * what was typed, so until the box keeps the text, and until it is empty again. */
  async ask({ text, timeout }) {
    const box = page.locator(input).first();
    const holds = async () => printed(await box.locator(".view-lines").innerText());
    const end = Date.now() + timeout;
    for (; (await holds()) !== printed(text); await page.waitForTimeout(300)) {
      if (Date.now() > end) throw new Error(`the chat does not keep ${text}: ${await holds()}`);
      // Not a click: a notification may lie over the box.
      await box.locator(".native-edit-context, textarea").first().focus();
      await page.keyboard.press("ControlOrMeta+A");
      await page.keyboard.type(text);
    }
    for (; (await holds()) !== 0; await page.waitForTimeout(1000)) {
      if (Date.now() > end) throw new Error(`the chat does not send ${text}`);
      await box.locator(".native-edit-context, textarea").first().focus();
      await page.keyboard.press("Enter");
    }
  },
  async html({ selector }) {
    return page.locator(selector).first().evaluate((element) => element.outerHTML);
  },
  async screenshot({ name }) {
    await page.screenshot({ path: join(artifacts, `${name}.png`) });
  },
  async evaluate({ code }) {
    return page.evaluate(code);
  },
};

/** How many characters that are not blank: how the box breaks its lines does not matter. */
function printed(text) {
  return text.replace(/\s/g, "").length;
}

function locate(selector, text) {
  const found = page.locator(selector);
  return (text === undefined ? found : found.filter({ hasText: text })).first();
}

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...options } = JSON.parse(line);
  try {
    page = pages[options.page ?? "main"] ??= await context.newPage();
    const value = await commands[name]({ timeout: 60_000, ...options });
    console.log(JSON.stringify({ ok: true, value }));
  } catch (error) {
    const shown = await page.locator(".part.auxiliarybar").innerText({ timeout: 5000 }).catch(String);
    console.log(JSON.stringify({ ok: false, error: `${error}\nThe chat shows: ${shown.slice(-2000)}` }));
  }
}
await browser.close();
