/** Files that hold secrets, by their names: they are never sent, and no setting changes that. Pure. */

/** Ends of names, and whole names, of keys, certificates, passwords and sign-ins. */
const ENDINGS =
  /\.(pem|key|p12|pfx|pkcs12|jks|keystore|kdbx?|ppk|asc|gpg|age|der|crt|cer|ovpn|mobileprovision|tfvars|tfstate|secrets?)$/;
const NAMES =
  /^(\.env(\..+|rc)?|.+\.env|\.(netrc|pgpass|npmrc|pypirc|htpasswd|git-credentials|my\.cnf|dockercfg|vault-token)|_netrc|id_(rsa|dsa|ecdsa|ed25519)([_-][\w-]+)?|authorized_keys|known_hosts|credentials(\.(json|ya?ml|toml|ini|csv|txt))?|secrets?\.(ya?ml|json|toml|ini|txt|env)|.*service[-_]?account.*\.json|master\.key|kubeconfig|shadow|wallet\.dat|.*(password|passwd)s?\.(txt|csv|json|ya?ml))$/;
const FOLDERS = /(^|\/)(\.ssh|\.gnupg|\.aws|\.azure|\.kube|\.docker|\.password-store)\//;
/** Examples for others to copy hold no secrets. */
const EXAMPLES = /\.(example|sample|template|dist)$/;

/** @param path with forward slashes */
export function isSecret(path: string): boolean {
  const lower = path.toLowerCase();
  const name = lower.slice(lower.lastIndexOf("/") + 1);
  if (FOLDERS.test(lower)) return true;
  return !EXAMPLES.test(name) && (ENDINGS.test(name) || NAMES.test(name));
}
