/** Holds fake gateways to contract/gateway-api.json, which the real gateway's tests hold it to. */

import Ajv2020 from "ajv/dist/2020";
import contract from "../../../contract/gateway-api.json";

type Definition = keyof typeof contract.$defs;

const ANSWERS: Record<string, Definition> = {
  "/v1/models": "ModelList",
  "/info": "Info",
  "/tokenize": "TokenizeAnswer",
  "/fit": "FitAnswer",
};
const REQUESTS: Record<string, Definition> = {
  "/tokenize": "TokenizeRequest",
  "/fit": "FitRequest",
};

const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true });
ajv.addSchema(contract, "contract");

/** Whether only Stoker's gateway answers like this. */
export function isFromGateway(answer: unknown): boolean {
  const { server, counts, data } = Object(answer) as Record<string, unknown>;
  const models = Array.isArray(data) ? data : [];
  return (
    server === "stoker" ||
    counts !== undefined ||
    models.some((model: unknown) => (model as { owned_by?: unknown }).owned_by === "stoker")
  );
}

/** What in this exchange a gateway would not answer, or not understand. */
export function violations(path: string, request: string, status: number, answer: unknown): string[] {
  if (status >= 400) return differences("Error", answer, `HTTP ${status} of ${path}`);
  const requested = REQUESTS[path];
  const answered = ANSWERS[path];
  return [
    ...(requested ? differences(requested, JSON.parse(request), `request to ${path}`) : []),
    ...(answered ? differences(answered, answer, `answer of ${path}`) : []),
  ];
}

function differences(name: Definition, value: unknown, what: string): string[] {
  const validate = ajv.getSchema(`contract#/$defs/${name}`);
  if (!validate) throw new Error(`the contract has no ${name}`);
  return validate(value) ? [] : [`${what} is no ${name}: ${JSON.stringify(validate.errors)}`];
}
