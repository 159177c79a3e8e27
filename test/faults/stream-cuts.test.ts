import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { EventOnWire } from '../../src/api/events.ts';
import { isTerminalEventType } from '../../src/core/event.ts';
import { FaultProxy, type ConnectionPlan } from '../../src/testing/faults/fault-proxy.ts';
import { concatenationEquals } from '../../src/testing/faults/history-checks.ts';
import { seededRandom, type SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import type { FleetClient } from '../e2e/fleet-client.ts';
import { followSse, followWs, type Heard } from './cut-followers.ts';
import { newDataDir, scaled, seededRun } from './fault-scale.ts';
import { recordReliability } from './reliability-record.ts';
import { RunningFleet } from './running-fleet.ts';

const sessions = 10;
const streams = 100;
const rounds = scaled(1);
const cutsEach = 20;
/** 250 events of about 300 bytes: more than the cuts can use up. */
const prompt = 'stream: 250 words at 12 ms';

/** A request and what a WebSocket says first are longer than this, so that each cut is one. */
const mostBytesUp = 240;
const mostBytesDown = 3_000;

function cutPlan(random: SeededRandom): ConnectionPlan {
  const direction = random.between(1, 4) === 1 ? 'up' : 'down';
  const afterBytes = random.between(0, direction === 'up' ? mostBytesUp : mostBytesDown);
  // A reset as often as a close; a silence costs the client a second, so there are few.
  const how =
    random.between(1, 40) === 1
      ? random.pick(['black_hole', 'half_open'] as const)
      : random.pick(['fin', 'rst'] as const);
  const latency = random.between(1, 10) === 1 ? { latencyMs: 5 } : {};
  return { cut: { direction, afterBytes, how }, ...latency };
}

test('streams cut at random bytes, both directions, resumed by Last-Event-ID and over /ws, are the log [stream-resumed]', {
  timeout: 120_000 * rounds,
}, async (t) => {
  const random = seededRun(t);
  await using fleet = await RunningFleet.start({ dataDir: newDataDir(t) });
  for (let round = 0; round < rounds; round += 1) await cutStreams(t, fleet.client, random, round);
});

async function cutStreams(t: TestContext, client: FleetClient, random: SeededRandom, round: number): Promise<void> {
  const turns = await Promise.all(
    Array.from({ length: sessions }, async (_, index) => {
      const session = `cut-${round}-${index}`;
      const { status, text, body } = await client.exec({ prompt, session_id: session, background: true });
      assert.equal(status, 202, text);
      return { sessionId: body.session_id, turnId: body.turn_id };
    }),
  );
  const port = Number(new URL(client.url).port);

  const heard = await Promise.all(
    Array.from({ length: streams }, async (_, index): Promise<Heard & { sessionId: string; cuts: number }> => {
      const own = seededRandom(random.between(0, 2 ** 31));
      const turn = turns[index % sessions] ?? assert.fail();
      await using proxy = await FaultProxy.start({
        target: () => ({ host: '127.0.0.1', port }),
        // A connection that its client gave up before its cut does not count.
        plan: () => (cutsOf(proxy) < cutsEach ? cutPlan(own) : {}),
      });
      const followed = { url: proxy.url, token: client.token, ...turn };
      // Sessions alternate, and so do the ways, but not in step.
      const isSse = Math.floor(index / sessions) % 2 === 0;
      const { texts, connections } = await (isSse ? followSse(followed) : followWs(followed));
      return { texts, connections, sessionId: turn.sessionId, cuts: cutsOf(proxy) };
    }),
  );

  const logs = new Map<string, string[]>();
  for (const { sessionId } of turns) logs.set(sessionId, untilEnd(await client.pages(sessionId)));
  const problems = heard.flatMap(({ sessionId, texts }, index) =>
    concatenationEquals(logs.get(sessionId) ?? [], texts).map((problem) => `stream ${index}: ${problem}`),
  );
  const cuts = heard.reduce((sum, stream) => sum + stream.cuts, 0);
  t.diagnostic(
    `${streams} streams, ${cuts} cuts, ${heard.reduce((sum, { connections }) => sum + connections, 0)} connections, ` +
      `${heard.reduce((sum, { texts }) => sum + texts.length, 0)} events, ${problems.length} problems`,
  );
  assert.deepEqual(problems, []);
  // A slow machine may have the last of a stream cut once more.
  assert.ok(cuts >= streams * cutsEach, String(cuts));

  // The same check, on the same streams, spoilt: one event twice, one event lost.
  const [sample] = heard;
  assert.ok(sample !== undefined);
  const log = logs.get(sample.sessionId) ?? [];
  const at = Math.floor(sample.texts.length / 2);
  assert.equal(concatenationEquals(log, sample.texts.toSpliced(at, 0, sample.texts[at] ?? '')).length, 1);
  assert.equal(concatenationEquals(log, sample.texts.toSpliced(at, 1)).length, 1);
  if (round < rounds - 1) return;
  recordReliability({
    fault: 'streams (SSE and WebSocket) cut at random bytes in both directions, and resumed by cursor',
    count: `${rounds} × ${streams} streams, ${cuts} cuts in the last round`,
    result: 'what each reader put together is the log: no event lost, none twice, none out of order',
    control: 'the same stream with one event twice, and with one lost, is refused',
  });
}

function cutsOf(proxy: FaultProxy): number {
  return Object.values(proxy.counts.cuts).reduce((sum, count) => sum + count, 0);
}

/** As the bodies are: what is read and written again as JSON is the same text. */
function untilEnd(events: readonly EventOnWire[]): string[] {
  const end = events.findIndex((event) => isTerminalEventType(event.type));
  return events.slice(0, end + 1).map((event) => JSON.stringify(event));
}
