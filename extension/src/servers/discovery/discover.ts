/** Which models an endpoint serves, from the endpoint itself. */

import { undefinedIfUnsupported, type Server } from "../../api/apiClient";
import { object } from "../../api/narrow";
import { listingState, readListing, withInfo, type ModelListing } from "./modelListing";
import { ask, findDetails, loadedState, NO_DETAILS } from "./serverDetails";

export interface Discovery extends ModelListing {
  /** What `fingerprint` returns while nothing has changed. */
  readonly fingerprint: string;
  /** The path that lists the loaded models, for servers that load them on demand. */
  readonly loadedAt: string | undefined;
}

/** The chat models that `server` offers now.
 * @throws HttpError, ConnectionError where `/v1/models` fails */
export async function discover(server: Server): Promise<Discovery> {
  const listed = await ask(server, "/v1/models");
  const { models: known, ...others } = readListing(listed);
  if (known.length === 0) {
    return { models: [], ...others, fingerprint: stateOf(listed), loadedAt: undefined };
  }
  const info = object(await ask(server, "/info").catch(undefinedIfUnsupported));
  const isComplete = known.every((model) => model.maxModelLen !== undefined);
  const details = isComplete ? NO_DETAILS : await findDetails(server, info);
  const models = await Promise.all(
    known.map(async (model) => withInfo({ ...model, ...(await details.of(model.id)) }, info)),
  );
  const { loaded, loadedAt } = details;
  return { models, ...others, fingerprint: stateOf(listed, loaded), loadedAt };
}

/** Changes when a server begins to serve something else. Costs one small request, and another where
 * a model's context changes as it is loaded (`loadedAt`). */
export async function fingerprint(server: Server, loadedAt?: string): Promise<string> {
  const [listed, loaded] = await Promise.all([
    ask(server, "/v1/models"),
    loadedAt ? ask(server, loadedAt) : undefined,
  ]);
  return stateOf(listed, loaded);
}

function stateOf(listed: unknown, loaded?: unknown): string {
  return JSON.stringify([listingState(listed), loadedState(loaded)]);
}
