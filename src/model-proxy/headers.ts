// Which headers pass the proxy. What comes from Codex may come from the agent's own hand, so only known
// names go on; of the answer, all but what belongs to one connection or to the operator's account.

const forwardedRequestHeaders: ReadonlySet<string> = new Set([
  'accept',
  'content-type',
  'content-encoding',
  'openai-beta',
  'originator',
  'user-agent',
  'session-id',
  'session_id',
  'thread-id',
  'x-client-request-id',
]);

const droppedResponseHeaders: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
  'set-cookie',
  'alt-svc',
  'strict-transport-security',
  'openai-organization',
  'openai-project',
]);

type RawHeaders = Readonly<Record<string, string | string[] | undefined>>;

export function requestHeadersFor(incoming: RawHeaders, apiKey: string | null): Record<string, string> {
  const headers: Record<string, string> = {
    // Plain bytes: the tokens are counted in passing.
    'accept-encoding': 'identity',
  };
  for (const [name, value] of Object.entries(incoming)) {
    if (typeof value !== 'string') continue;
    if (forwardedRequestHeaders.has(name) || name.startsWith('x-codex-')) headers[name] = value;
  }
  if (apiKey !== null) headers['authorization'] = `Bearer ${apiKey}`;
  return headers;
}

export function responseHeadersFrom(upstream: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(upstream).filter(([name]) => !droppedResponseHeaders.has(name)));
}
