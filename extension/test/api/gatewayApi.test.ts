/** What the extension reads of the gateway, the gateway sends. */
import { expect, test } from "vitest";
import contract from "../../../contract/gateway-api.json";
import { GATEWAY_FIELDS } from "../../src/api/gatewayApi";
import { FakeServer, gatewayModel, lists, type Handler } from "../support/fakeServer";

test.each(Object.entries(GATEWAY_FIELDS))("every property of %s that is read is in the contract", (name, fields) => {
  const { properties } = contract.$defs[name as keyof typeof GATEWAY_FIELDS];
  expect(Object.keys(properties)).toEqual(expect.arrayContaining([...fields]));
});

const info = { server: "stoker", version: "1", backends: [], models: [] };

test.each<[string, string, Handler, RegExp]>([
  ["invents a field", "/info", () => ({ ...info, tokens_per_s: 55 }), /tokens_per_s/],
  ["lacks a field", "/info", () => ({ server: "stoker" }), /backends/],
  ["invents a capability", "/v1/models", lists({ ...gatewayModel("m"), capabilities: { speed: 1 } }), /speed/],
  ["counts without its window", "/tokenize", () => ({ counts: [1] }), /max_model_len/],
])("a fake gateway that %s fails its test", async (_, path, handler, violation) => {
  const fake = await FakeServer.start({ [path]: handler });
  await fetch(fake.server.base + path, { method: "POST", body: '{"prompt": ["a"]}' });
  await expect(fake.stop()).rejects.toThrow(violation);
});

test("other servers may answer as they like", async () => {
  const fake = await FakeServer.start({ "/info": () => ({ max_total_tokens: 6000, quantize: "awq" }) });
  await fetch(`${fake.server.base}/info`);
  await expect(fake.stop()).resolves.toBeUndefined();
});
