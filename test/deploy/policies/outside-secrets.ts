// The Secrets that no overlay for Google Kubernetes Engine carries: who makes each, which keys it has, and a
// value of the right shape, so that the settings of a container can be resolved without knowing the real one.

export type OutsideSecret = {
  readonly name: string;
  readonly madeBy: string;
  /** By key, a value like the real one. */
  readonly keys: Readonly<Record<string, string>>;
};

const certificate = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const bootstrap = 'deploy/bootstrap, from Secret Manager';

export const outsideSecrets: readonly OutsideSecret[] = [
  {
    name: 'codex-cluster',
    madeBy: bootstrap,
    keys: { 'cluster-secret': 'a-secret-of-the-policies-with-enough-characters' },
  },
  {
    name: 'codex-redis',
    madeBy: bootstrap,
    keys: { url: 'rediss://default:a-password@10.0.0.3:6379', 'ca.pem': certificate },
  },
  {
    name: 'codex-tokens',
    madeBy: bootstrap,
    keys: { 'fleet.toml': `[[tokens]]\nname = "first"\ntenant = "default"\ntoken_sha256 = "${'0'.repeat(64)}"\n` },
  },
  { name: 'codex-metrics', madeBy: bootstrap, keys: { token: 'a-token-of-the-policies-for-metrics' } },
  { name: 'codex-model-key', madeBy: bootstrap, keys: { 'api-key': 'sk-a-key-of-the-policies' } },
];

export function outsideSecret(name: string): OutsideSecret | null {
  return outsideSecrets.find((secret) => secret.name === name) ?? null;
}
