// Where no cage can be made: one session at a time, one tenant in a worker's life, and nobody waits for ever.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { WorkerResource } from '../../src/api/fleet.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import { eventually } from '../e2e/eventually.ts';
import { FleetClient } from '../e2e/fleet-client.ts';
import { RunningCluster } from './running-cluster.ts';
import { withoutCages } from './uncaged-codex.ts';

const tokens = { ana: 'token-of-ana-0123456789', bob: 'token-of-bob-0123456789' };

/** Turns end within seconds; a worker takes some to start again. */
const longestMs = 60_000;

test('without cages a worker hosts one session, serves one tenant, and is replaced for another that waits, which loses nothing [fleet-uncaged]', {
  timeout: 240_000,
}, async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'uncaged-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const config = path.join(dir, 'fleet.toml');
  const entries = Object.entries(tokens).map(
    ([tenant, token]) => `[[tokens]]\nname = "${tenant}"\ntenant = "${tenant}"\ntoken = "${token}"\n`,
  );
  writeFileSync(config, `[cage]\nallow_none = true\n\n${entries.join('\n')}`);
  const noCages = withoutCages(path.join(dir, 'codex'));
  const running = await RunningCluster.start(t, {
    ...{ gateways: 1, managers: 1, workers: 1 },
    env: { CODEX_FLEET_CONFIG: config, CODEX_FLEET_LOG_LEVEL: 'info' },
    memberEnv: (member, env) => (member.startsWith('worker') ? { ...env, ...noCages } : env),
  });
  if (running === null) return;
  const clientOf = (tenant: keyof typeof tokens): FleetClient => new FleetClient(running.client.url, tokens[tenant]);
  const [ana, bob] = [clientOf('ana'), clientOf('bob')];
  const lives = (): number => running.cluster.members('worker').reduce((sum, { starts }) => sum + starts, 0);
  const later = async (client: FleetClient, session: string, prompt: string): Promise<() => Promise<TurnResource>> => {
    const { body, status, text } = await client.request<TurnResource>('POST', `/api/v1/sessions/${session}/turns`, {
      prompt,
    });
    assert.equal(status, 202, text);
    const get = async (): Promise<TurnResource> =>
      (await client.request<TurnResource>('GET', `/api/v1/sessions/${session}/turns/${body.id}`)).body;
    return async () =>
      await eventually(`the turn ${prompt} ends`, longestMs, async () => {
        const turn = await get();
        return turn.ended_at === null ? null : turn;
      });
  };

  await t.test('the worker says what it is, and serves its first tenant as often as it likes', async () => {
    const { body } = await ana.request<ListOf<WorkerResource>>('GET', '/api/v1/workers');
    const [worker] = body.data;
    assert.deepEqual([worker?.slots.limit, worker?.isolation.cage], [1, 'none']);
    assert.equal((await ana.completed('write: a.txt: of ana\nsay: one', 'a')).stdout, 'one');
    assert.equal((await ana.completed('say: two', 'b')).stdout, 'two');
    assert.match((await ana.completed('run: cat a.txt', 'a')).stdout, /of ana/);
    assert.equal(lives(), 1);
  });

  await t.test('another tenant is served by its next life, in which nothing of the first one lies', async () => {
    const workers = path.join(running.dataDir, 'data', 'workers', 'worker-1', 'sessions', 'ana');
    assert.ok(existsSync(workers), workers);
    const { status, body } = await bob.exec({ prompt: 'say: at last', session_id: 'c' });
    assert.deepEqual([status, body.status, body.stdout], [200, 'completed', 'at last']);
    assert.equal(lives(), 2);
    assert.equal(existsSync(workers), false);
  });

  await t.test(
    'who keeps a worker busy does not keep the others out, and what waits behind runs in its turn',
    async () => {
      await ana.request('POST', '/api/v1/sessions', { id: 'busy' });
      await bob.request('POST', '/api/v1/sessions', { id: 'waits' });
      const turns = [];
      // Bob's life: ana's turn is what makes it end.
      turns.push(await later(bob, 'waits', 'wait: 6 s\nsay: first of bob'));
      turns.push(await later(bob, 'waits', 'say: second of bob'));
      turns.push(await later(ana, 'busy', 'say: of ana'));
      const ended = await Promise.all(turns.map((turn) => turn()));
      assert.deepEqual(
        ended.map(({ status }) => status),
        ['completed', 'completed', 'completed'],
      );
      const [first, second, ofAna] = ended.map(({ started_at }) => Date.parse(started_at ?? ''));
      assert.ok(first !== undefined && second !== undefined && ofAna !== undefined && first < ofAna && ofAna < second);
      assert.equal(lives(), 4);
    },
  );

  await t.test('files of an earlier life come back from the snapshot', async () => {
    assert.match((await ana.completed('run: cat a.txt', 'a')).stdout, /of ana/);
  });
});
