// The Copilot harness without its window: the SDK that ships in VS Code, with a model of one's own.
// One prompt a line in (as JSON), one answer a line out. Session options are those that VS Code's
// agent host gives, where they bear on what is sent.
// Usage: node copilot_sdk.mjs '{"sdk": FOLDER, "baseUrl": URL, "model": ID, "maxPromptTokens": N,
//   "maxContextWindowTokens": N, "maxOutputTokens": N, "workspace": FOLDER, "home": FOLDER}'
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const wanted = JSON.parse(process.argv[2]);
const { CopilotClient, approveAll } = await import(pathToFileURL(join(wanted.sdk, "dist/index.js")));

const client = new CopilotClient({
  workingDirectory: wanted.workspace,
  baseDirectory: wanted.home,
  useLoggedInUser: false,
  logLevel: "none",
  env: { PATH: process.env.PATH, HOME: wanted.home, COPILOT_OFFLINE: "true" },
});
await client.start();
const { maxPromptTokens, maxContextWindowTokens, maxOutputTokens } = wanted;
const session = await client.createSession({
  model: `stoker/${wanted.model}`,
  providers: [{ name: "stoker", type: "openai", wireApi: "completions", baseUrl: wanted.baseUrl }],
  models: [
    { id: wanted.model, provider: "stoker", maxPromptTokens, maxContextWindowTokens, maxOutputTokens },
  ],
  workingDirectory: wanted.workspace,
  streaming: true,
  enableConfigDiscovery: true,
  enableSkills: true,
  toolSearch: { enabled: false },
  largeOutput: { maxSizeBytes: 8 * 1024 },
  infiniteSessions: { enabled: true },
  onPermissionRequest: approveAll,
});

let compactions = 0;
session.on((event) => {
  if (event.type === "session.compaction_start") compactions += 1;
  if (wanted.trace) console.error(JSON.stringify(event).slice(0, 400));
});

console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const answer = await session.sendAndWait({ prompt: JSON.parse(line) }, wanted.timeout);
    console.log(JSON.stringify({ text: answer?.data?.content ?? "", compactions }));
  } catch (error) {
    console.log(JSON.stringify({ text: "", error: String(error), compactions }));
  }
}
await client.stop();
