// What each SDK here must show, and the printing of it: as python_sdks/sdk_contract.py.
export const [endpoint, model] = process.argv.slice(2);
export const baseURL = `${endpoint}/v1`;
export const key = "not-needed";
export const hello = "Say hello.";
export const weather = "How is the weather in Paris?";
export const sunny = "sunny, 21 degrees";
export const tooLong = "word ".repeat(20_000);
export const tool = { name: "get_weather", description: "Tells the weather of a city." };
export const city = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
};

/** The items of an asynchronous iterable. */
export async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}

/** Prints, for each API, what `whole`, `streamed`, `tool` and `overflow` do. */
export async function show(apis) {
  const shown = {};
  for (const [name, api] of Object.entries(apis)) shown[name] = await shownApi(api);
  console.log(JSON.stringify(shown));
}

async function shownApi(api) {
  const pieces = (await api.streamed()).filter(Boolean);
  const [called, args, answered] = await api.tool();
  return {
    whole: await api.whole(),
    streamed: pieces.join(""),
    pieces: pieces.length,
    called,
    arguments: typeof args === "string" ? JSON.parse(args) : args,
    answered,
    overflow: await errorOf(api.overflow),
  };
}

async function errorOf(ask) {
  try {
    await ask();
  } catch (error) {
    return [error.constructor.name, error.name, error.code ?? "", error.message];
  }
  return [];
}
