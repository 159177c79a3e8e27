// What a person sees when a fleet has started: where it is, how to call it, which model answers, and
// what its agents can and cannot reach. Words only; the caller prints them.

import type { IsolationReport } from '../contracts/worker-link.ts';

export type FirstScreenFacts = {
  readonly version: string;
  readonly codexVersion: string;
  readonly url: string;
  readonly token: string;
  readonly tokenFile: string;
  readonly model: {
    readonly provider: 'openai' | 'responses' | 'ollama' | 'demo';
    readonly name: string;
    readonly baseUrl: string | null;
  };
  readonly isolation: IsolationReport;
  readonly network: 'none' | 'host';
  readonly slots: { readonly limit: number; readonly warm: number };
  readonly storage: 'sqlite' | 'memory';
};

const storageWords = {
  sqlite: 'sqlite, in the data directory: sessions outlive this process',
  memory: 'memory: sessions end with this process',
} as const;

export function firstScreen(facts: FirstScreenFacts): string[] {
  const { model } = facts;
  const body = model.provider === 'demo' ? 'write: hello.txt: Hello from Codex' : 'Say hello in one sentence.';
  return [
    `Codex Fleet ${facts.version} (codex ${facts.codexVersion})`,
    '',
    `  url      ${facts.url}`,
    `  token    ${facts.token}   (kept in ${facts.tokenFile})`,
    `  model    ${modelWords(facts)}`,
    ...(model.provider === 'demo'
      ? [
          '           It runs scripted commands through the real Codex and understands nothing.',
          '           Set OPENAI_API_KEY, or --model-provider and --base-url, for a real model.',
        ]
      : []),
    `  cage     ${cageWords(facts)}`,
    `  sandbox  ${sandboxWords(facts.isolation)}`,
    `  slots    at most ${facts.slots.limit} Codex processes, ${facts.slots.warm} kept warm`,
    `  storage  ${storageWords[facts.storage]}`,
    '',
    'Try it:',
    '',
    `  ${curlLine(facts.url, facts.token, body)}`,
    '',
  ];
}

export function curlLine(url: string, token: string, prompt: string): string {
  return `curl -s ${url}/api/v1/exec -H 'Authorization: Bearer ${token}' -H 'Content-Type: application/json' -d '${JSON.stringify({ prompt })}'`;
}

function modelWords({ model }: FirstScreenFacts): string {
  switch (model.provider) {
    case 'demo':
      return 'DEMO MODEL: no AI is connected';
    case 'openai':
      return `${model.name} at OpenAI`;
    case 'responses':
    case 'ollama':
      return `${model.name} at ${model.baseUrl ?? 'an unknown address'} (${model.provider})`;
  }
}

function cageWords({ isolation, network }: FirstScreenFacts): string {
  if (isolation.cage === 'none') {
    const reach = isolation.innerSandbox === 'none' ? 'read, change and run' : 'read';
    return `NONE: agents can ${reach} whatever this user can (${isolation.cageProblem ?? 'no reason given'})`;
  }
  const reach = network === 'none' ? 'no network but the model' : "THE HOST'S NETWORK, its loopback included";
  return `one per session: own root, own processes, ${reach}; the host's files and other sessions do not exist inside`;
}

function sandboxWords(isolation: IsolationReport): string {
  return isolation.innerSandbox === 'bubblewrap'
    ? "Codex's own, around each command: writes to the workspace and /tmp only, no network"
    : `NONE around single commands (${isolation.innerSandboxProblem ?? 'no reason given'})`;
}
