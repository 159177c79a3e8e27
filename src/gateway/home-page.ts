// GET / in a browser: what this is and where to go on. Static, needs nothing from anywhere.

import { createHash } from 'node:crypto';

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
pre { padding: 0.75rem; border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-radius: 6px; overflow-x: auto; }
`;

export function homePage(version: string): { readonly html: string; readonly contentPolicy: string } {
  const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Codex Fleet</title>
<style>${style}</style>
<h1>Codex Fleet</h1>
<p>This server runs the Codex agent as a service: a prompt goes in, the agent works in a workspace of its own, the answer comes out. Version ${escaped(version)}.</p>
<h2>Ask it something</h2>
<pre>curl -X POST "$CODEX_FLEET_URL/api/v1/exec" \\
  -H "Authorization: Bearer $CODEX_FLEET_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{"prompt": "create a rust web server", "session_id": "my-session"}'</pre>
<p>The token was printed when the server first started. With <code>"stream": true</code> the events come as they happen; a WebSocket at <code>/ws</code> takes the same JSON.</p>
<h2>Look at it</h2>
<ul>
<li><a href="/docs">/docs</a>: every operation of the API; <a href="/openapi.json">/openapi.json</a>: the same for programs</li>
<li><a href="/health">/health</a>: whether it takes work; in detail with a token</li>
<li><a href="/livez">/livez</a>, <a href="/readyz">/readyz</a>: for probes</li>
<li><code>/metrics</code>: for Prometheus, with a token</li>
</ul>
<p>Codex Fleet is independent software; it is not made or endorsed by OpenAI.</p>
</html>
`;
  const hash = createHash('sha256').update(style).digest('base64');
  return {
    html,
    contentPolicy: `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
