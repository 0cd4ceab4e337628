// Reads objects as a JSON array from standard input and checks each with its API's own model.
// Prints a JSON array with one entry an object: the error, or an empty text.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const folder = join(process.argv[2], "node_modules/@kubernetes-models");
const packages = {
  "cert-manager.io": "cert-manager",
  "gateway.networking.k8s.io": "gateway-api",
  "networking.istio.io": "istio",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
};

async function problem(object) {
  const [group, version] = object.apiVersion.split("/");
  const index = join(folder, packages[group], group, version, "index.js");
  const Model = (await import(pathToFileURL(index)))[object.kind];
  if (Model === undefined) return `${object.apiVersion} has no ${object.kind}`;
  try {
    new Model(object).validate();
    return "";
  } catch (error) {
    return String(error.message);
  }
}

const objects = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(await Promise.all(objects.map(problem))));
