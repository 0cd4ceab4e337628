/** Why there is no model behind an id that VS Code holds. */

import type { ModelRegistry } from "../servers/modelRegistry";
import { discoveryMessage, invalidEndpointMessage, missingMessage } from "./errorMessages";
import { shortName } from "./modelInformation";

/** @param problem what is wrong with the endpoint setting, if anything */
export function unavailableMessage(
  registry: ModelRegistry,
  problem: string | undefined,
  id: string,
): string {
  if (problem) return invalidEndpointMessage(problem);
  const { sources, models } = registry;
  const source =
    sources.find(({ prefix }) => prefix && id.startsWith(prefix)) ??
    sources.find(({ prefix }) => !prefix);
  const outage = registry.outageOf(source);
  if (outage) return discoveryMessage(outage.error, outage.source.label);
  const served = models.filter((entry) => entry.source.label === source?.label);
  return missingMessage(shortName(id), source?.label, served.map(({ model }) => model.id));
}
