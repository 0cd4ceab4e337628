/** Counts many texts with a server that takes one text a request. */

/** The token ids of one text. */
export type Tokenize = (text: string) => Promise<unknown[]>;
/** Token counts of several texts, in their order. */
export type CountAll = (texts: string[]) => Promise<number[]>;

/** A server's tokenizer is fast, but its connection queue is short. */
const PARALLEL_REQUESTS = 8;

/** One request a text. */
export function countSeparately(tokenize: Tokenize): CountAll {
  return async (texts) => {
    const counts: number[] = [];
    for (let at = 0; at < texts.length; at += PARALLEL_REQUESTS) {
      const answers = await Promise.all(texts.slice(at, at + PARALLEL_REQUESTS).map(tokenize));
      counts.push(...answers.map((ids) => ids.length));
    }
    return counts;
  };
}

/** One request for all texts, joined by a special token: it is one id, and no tokenizer merges across
 * it. Falls back to one request a text where a probe shows that this server does not keep it apart.
 * @param separator the text of a special token, if the server names one */
export async function countJoined(tokenize: Tokenize, separator: unknown): Promise<CountAll> {
  const separately = countSeparately(tokenize);
  if (typeof separator !== "string" || separator === "") return separately;
  const separatorIds = await tokenize(separator);
  if (separatorIds.length !== 1) return separately;
  const joined: CountAll = async (texts) =>
    texts.length ? splitCounts(await tokenize(texts.join(separator)), separatorIds[0]) : [];
  if (!(await agree(joined, separately))) return separately;
  return async (texts) => {
    const counts = new Map<string, number>();
    const countInto = async (some: string[], countAll: CountAll) =>
      (await countAll(some)).forEach((count, at) => counts.set(some[at] ?? "", count));
    await countInto(texts.filter((text) => !text.includes(separator)), joined);
    await countInto(texts.filter((text) => !counts.has(text)), separately);
    return texts.map((text) => counts.get(text) ?? 0);
  };
}

async function agree(joined: CountAll, separately: CountAll): Promise<boolean> {
  const probes = ['"k": 1 ', " a b", "\n"];
  const [one, other] = await Promise.all([joined(probes), separately(probes)]);
  return one.join() === other.join();
}

function splitCounts(ids: readonly unknown[], separatorId: unknown): number[] {
  const counts = [0];
  for (const id of ids) {
    if (id === separatorId) counts.push(0);
    else counts[counts.length - 1]! += 1;
  }
  return counts;
}
