// What the document that this project began with prints for its users to run, word for word. The
// tests put in the address and the credential, and change nothing else.

export const curl = `curl -X POST https://codex-api.example.com/api/v1/exec \\
  -H "Content-Type: application/json" \\
  -d '{
    "prompt": "create a rust web server",
    "timeout_ms": 60000,
    "session_id": "my-session"
  }'`;

export const javascript = `const ws = new WebSocket('wss://codex-api.example.com/ws');

ws.onopen = () => {
  ws.send(JSON.stringify({
    prompt: "create a complex application",
    stream: true
  }));
};

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);
  console.log('Progress:', data);
};`;

/** The environment of the gateway's deployment, and of the worker's. */
export const gatewayEnvironment = {
  REDIS_URL: 'redis://redis-service:6379',
  CODEX_WORKERS:
    'http://codex-pool-0.codex-pool-service:7000,http://codex-pool-1.codex-pool-service:7000,http://codex-pool-2.codex-pool-service:7000',
};
export const workerEnvironment = { WORKER_ID: 'codex-pool-0' };

/** What its gateway sends to a worker's /execute, and what that answers with. */
export const workerRequest = { prompt: 'create a rust web server', timeout_ms: 30000 };
export const workerResponseFields = ['execution_time_ms', 'exit_code', 'stderr', 'stdout'];

export const metricTypes = { codex_requests_total: 'counter', codex_request_duration_seconds: 'histogram' };

/** Fails when the snippet does not hold what is to be put in: it would then be run against nobody. */
export function put(snippet: string, replacements: Readonly<Record<string, string>>): string {
  let text = snippet;
  for (const [printed, actual] of Object.entries(replacements)) {
    if (text.split(printed).length !== 2) throw new Error(`the snippet holds ${printed} not exactly once`);
    text = text.replace(printed, () => actual);
  }
  return text;
}

/** The JavaScript with the address and the subprotocols that carry the credential. */
export function javascriptFor(fleet: { readonly url: string; readonly token: string }): string {
  const socketUrl = `${fleet.url.replace(/^http/, 'ws')}/ws`;
  return put(javascript, {
    "'wss://codex-api.example.com/ws'": `'${socketUrl}', ['codex-fleet', 'bearer.${fleet.token}']`,
  });
}
