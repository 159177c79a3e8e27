import { Lab } from './harness/benchmark.ts';
import { Fleet } from './parts/fleet.ts';
import { Child } from './harness/child.ts';
import { BareAgent } from './parts/bare-agent.ts';
import { locateCodex } from '../src/codex/binary.ts';
const lab = await Lab.open({ isQuick: true, profileDir: null });
const now = () => performance.timeOrigin + performance.now();
const trim = (xs: number[]) => { const s = xs.toSorted((a, b) => a - b); return [0.02, 0.1, 0.25, 0.5].map((q) => s[Math.floor(q * s.length)]!.toFixed(2)).join("  "); };
try {
  const { ready } = await Child.start<{ baseUrl: string }>(lab, 'demo-model-child.ts');
  const bare = await BareAgent.start(lab, await locateCodex(), ready.baseUrl);
  const fleet = await Fleet.start(lab, 2, 1);
  const { session_id } = await fleet.exec('say: pong', null);
  await fleet.isWarm(1);
  const rows: Record<string, number[]> = {};
  const add = (k: string, v: number) => (rows[k] ??= []).push(v);
  for (let i = 0; i < 150; i++) {
    const b = (await bare.turn('say: pong')).wholeMs;
    const t0 = now();
    const { turn_id } = await fleet.exec('say: pong', session_id);
    const t1 = now();
    if (i < 30) continue;
    const r = await fetch(fleet.url + `/api/v1/sessions/${session_id}/events?limit=1000&turn_id=${turn_id}`, { headers: { ...fleet.headers, accept: 'application/json' } }); const body = await r.text(); const { data } = JSON.parse(body) as { data: { type: string; at: string }[] }; if (data === undefined) { console.log(body); break; }
    if (data.length === 0) { console.log('no page'); break; }
    const at = (type: string) => Date.parse(data.find((e) => e.type === type)?.at ?? '') + 0.5;
    add('bare whole', b); add('exec whole', t1 - t0);
    add('request → queued', at('turn.queued') - t0);
    add('queued → started (grant)', at('turn.started') - at('turn.queued'));
    add('started → codex turn.started', at('codex.turn.started') - at('turn.started'));
    add('codex started → codex completed', at('codex.turn.completed') - at('codex.turn.started'));
    add('codex completed → turn.completed', at('turn.completed') - at('codex.turn.completed'));
    add('turn.completed → answer', t1 - at('turn.completed'));
    if (i === 40) console.log(data.map((e) => e.type).join(' '));
  }
  for (const [k, v] of Object.entries(rows)) console.log(k.padEnd(40), trim(v));
} finally { await lab.close(); }
process.exit(0);
