// Draws Mermaid diagrams as SVG. Usage: node draw.mjs PLAYWRIGHT_CORE MERMAID_MIN_JS CHROMIUM_MJS
// In: one JSON array of sources; out: one of SVGs, in the same order.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [playwrightAt, mermaidAt, chromiumAt] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwrightAt);
const { CHROMIUM } = await import(chromiumAt);
const browser = await chromium.launch(CHROMIUM);
const page = await browser.newPage();
await page.setContent("<body></body>");
await page.addScriptTag({ path: mermaidAt });
const sources = JSON.parse(readFileSync(0, "utf8"));
const drawn = await page.evaluate(async (texts) => {
  const options = { startOnLoad: false, theme: "neutral", deterministicIds: true, fontFamily: "sans-serif" };
  // Text of SVG itself: an image shows no HTML labels.
  const flowchart = { htmlLabels: false, wrappingWidth: 320, nodeSpacing: 24, rankSpacing: 28, padding: 10 };
  window.mermaid.initialize({ ...options, htmlLabels: false, flowchart });
  const svgs = [];
  for (const [at, text] of texts.entries()) {
    const { svg } = await window.mermaid.render(`d${at}`, text);
    // Dark pages too show it on white.
    svgs.push(svg.replace('style="', 'style="background-color: #fff; '));
  }
  return svgs;
}, sources);
console.log(JSON.stringify(drawn));
await browser.close();
