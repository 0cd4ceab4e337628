/** Which of the endpoint's models completes code. Pure. */

import type { InfillModel, ModelRegistry } from "../servers/modelRegistry";
import { LOCAL } from "../servers/discovery/servedModel";
import { formOf } from "./nextEdit/nextEditForm";

type Served = Pick<ModelRegistry, "infillModels" | "find">;

/** @param named by the user's settings; undefined lets Stoker choose */
export function completionModel(served: Served, named: string | undefined): InfillModel | undefined {
  const all = served.infillModels;
  if (named !== undefined) return all.find(({ id }) => id === named);
  // A next-edit model fills in too, but was not made to.
  const completing = all.filter(({ id }) => !formOf(id));
  const models = completing.length ? completing : all;
  // One that is served beside the chat's model is there to complete.
  const chats = served.find(LOCAL)?.model.id;
  return models.find(({ id }) => id !== chats) ?? models[0];
}

/** The model that predicts edits, where one is served. */
export function nextEditModel(served: Pick<Served, "infillModels">): InfillModel | undefined {
  return served.infillModels.find(({ id }) => formOf(id));
}
