/** Which of the endpoint's models completes code. Pure. */

import type { InfillModel, ModelRegistry } from "../servers/modelRegistry";
import { LOCAL } from "../servers/discovery/servedModel";

type Served = Pick<ModelRegistry, "infillModels" | "find">;

/** @param named by the user's settings; undefined lets Stoker choose */
export function completionModel(served: Served, named: string | undefined): InfillModel | undefined {
  const models = served.infillModels;
  if (named !== undefined) return models.find(({ id }) => id === named);
  // One that is served beside the chat's model is there to complete.
  const chats = served.find(LOCAL)?.model.id;
  return models.find(({ id }) => id !== chats) ?? models[0];
}
