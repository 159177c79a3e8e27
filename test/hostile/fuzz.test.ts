import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { operations } from '../../src/api/operations.ts';
import { plainOperations } from '../../src/api/plain-operations.ts';
import { useFleet } from '../e2e/use-fleet.ts';
import { assertProblem } from './problem-checks.ts';
import { bytesOf, randomRequest, type RandomRequest } from './random-requests.ts';
import { ask, portOf, type RawAnswer } from './raw-client.ts';

/** CODEX_FLEET_FUZZ_SEED and _SECONDS look further than the run of every day does. */
const seed = Number(process.env['CODEX_FLEET_FUZZ_SEED'] ?? 20_261_123);
const budgetMs = 1_000 * Number(process.env['CODEX_FLEET_FUZZ_SECONDS'] ?? 20);
const atOnce = 6;
const enoughRequests = 4_000;

const fleet = useFleet({
  env: {
    CODEX_FLEET_TURNS_WAIT_MS: '1000',
    CODEX_FLEET_TURNS_TIMEOUT_MS: '5000',
    CODEX_FLEET_TURNS_QUEUE_TIMEOUT_MS: '3000',
    CODEX_FLEET_WORKER_QUEUE_LIMIT: '20',
  },
});

/** What may be answered beyond 4xx: the fleet is full, and says so. */
const mayBeFull: readonly string[] = ['queue_full'];

function assertSane(answer: RawAnswer): void {
  if (answer.status >= 400) {
    const { code } = assertProblem(answer);
    assert.ok(answer.status < 500 || mayBeFull.includes(code), answer.body);
    return;
  }
  assert.ok(answer.status >= 200 && answer.status < 300, `status ${answer.status}`);
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  if (answer.headers.get('content-type')?.startsWith('application/json') === true) JSON.parse(answer.body);
}

const neverDone: readonly string[] = [
  'cancelTurn',
  'steerTurn',
  'getApproval',
  'decideApproval',
  'writeArchive',
  'deleteFile',
  'drainWorker',
];

test('whatever is asked of any route, the answer is typed, never ours to blame, and comes [hostile-typed] [hostile-healthy]', async (t) => {
  const { client } = fleet();
  const port = portOf(client.url);
  const { session_id, turn_id } = await client.completed('say: known', 'fuzzed');
  const items = await client.request<{ data: { id: string }[] }>('GET', `/api/v1/sessions/${session_id}/items`);
  const twoOf = async (path: string, body: object): Promise<string[]> => {
    const made = [1, 2].map(() => client.request<{ id: string }>('POST', path, body));
    return (await Promise.all(made)).map((answer) => answer.body.id);
  };
  // They want nothing that happens here; what is to be delivered all the same leads nowhere.
  const webhooks = await twoOf('/api/v1/webhooks', { url: 'https://hooks.invalid/x', events: ['session.quarantined'] });
  const delivery = await client.request<{ id: string }>('POST', `/api/v1/webhooks/${webhooks[0]}/test`);
  const known = {
    sessions: ['fuzzed', session_id, 'another', 'none'],
    expendable: ['another', 'none'],
    turns: [turn_id],
    items: items.body.data.map(({ id }) => id),
    jobs: await twoOf('/api/v1/jobs', { prompt: 'say: ok' }),
    schedules: await twoOf('/api/v1/schedules', { cron: '0 3 * * *', job: { prompt: 'say: ok' } }),
    webhooks,
    deliveries: [delivery.body.id],
  };

  const statuses = new Map<string, Map<number, number>>();
  const askOne = async (request: RandomRequest): Promise<void> => {
    const answer = await ask(port, bytesOf(request, `127.0.0.1:${port}`, client.token));
    assertSane(answer);
    const counts = statuses.get(request.operation) ?? new Map<number, number>();
    statuses.set(request.operation, counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1));
  };
  const startedMs = performance.now();
  let asked = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(randomRequest(known), { minLength: 1, maxLength: atOnce }), async (requests) => {
      asked += requests.length;
      await Promise.all(requests.map(askOne));
    }),
    { seed, numRuns: 1_000_000, endOnFailure: true, plugins: [fc.interruptAfterTimeLimit(budgetMs)] },
  );
  t.diagnostic(`seed ${seed}: ${asked} requests in ${Math.round(performance.now() - startedMs)} ms`);
  for (const [operation, counts] of statuses) {
    const words = [...counts].map(([status, count]) => `${status} × ${count}`);
    t.diagnostic(`${operation}: ${words.join(', ')}`);
  }

  // The dice reached every operation: each was done, or found its session busy, and refused. (The one known turn has ended, nothing was
  // asked for, and nobody throws an archive, or names a file or a worker that is there, by chance.)
  // A machine that got through a few requests only proves nothing either way.
  for (const { id } of Object.values({ ...operations, ...plainOperations })) {
    const counts = statuses.get(id);
    if (neverDone.includes(id) || asked < enoughRequests) continue;
    assert.ok(
      counts !== undefined && [...counts.keys()].some((status) => status < 300 || status === 409),
      `${id} was never done: ${JSON.stringify([...(counts ?? [])])}`,
    );
    assert.ok(
      [...counts.keys()].some((status) => status >= 400),
      `${id} was never refused`,
    );
  }
  assert.equal((await client.completed('say: unharmed', 'after the storm'.replaceAll(' ', '-'))).stdout, 'unharmed');
});

test('the check finds an answer that is not as it should be', () => {
  const headers = new Map([['x-content-type-options', 'nosniff']]);
  const answer = (status: number, body = '{}'): RawAnswer => ({ status, headers, body, waitedMs: 0 });
  assert.doesNotThrow(() => assertSane(answer(200)));
  for (const status of [101, 302, 400, 500, 503])
    assert.throws(() => assertSane(answer(status)), `${status} is not found`);
  assert.throws(() =>
    assertSane({ ...answer(200, '{'), headers: new Map([...headers, ['content-type', 'application/json']]) }),
  );
});
