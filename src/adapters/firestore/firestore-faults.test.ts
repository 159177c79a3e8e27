// Each error class at each call: within the deadline, typed, never doubled, never wrongly refused; with lost answers,
// silence and cut connections too.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isServiceError, ServiceError } from '../../core/errors.ts';
import {
  faultOperations,
  type FaultOperation,
  type FaultParties,
  newFaultId,
} from '../../testing/firestore-operations.ts';
import { type FaultChoice, FirestoreProxy, type ProxyFault } from '../../testing/firestore-proxy.ts';
import { firestoreStores } from '../../testing/firestore-stores.ts';
import { sessionRecord } from '../../testing/stored-records.ts';
import type { FirestoreRecords } from './firestore-records.ts';

const stores = firestoreStores();
const skip = stores.skip;
const timeoutMs = 1_500;
/** Of a busy machine. */
const slackMs = 1_500;
const codes = {
  1: 'CANCELLED',
  2: 'UNKNOWN',
  3: 'INVALID_ARGUMENT',
  4: 'DEADLINE_EXCEEDED',
  5: 'NOT_FOUND',
  6: 'ALREADY_EXISTS',
  7: 'PERMISSION_DENIED',
  8: 'RESOURCE_EXHAUSTED',
  9: 'FAILED_PRECONDITION',
  10: 'ABORTED',
  11: 'OUT_OF_RANGE',
  12: 'UNIMPLEMENTED',
  13: 'INTERNAL',
  14: 'UNAVAILABLE',
  15: 'DATA_LOSS',
  16: 'UNAUTHENTICATED',
} as const;
/** After these the same again may succeed. */
const passing: readonly number[] = [1, 2, 4, 8, 10, 13, 14];
/** What reports a failure of the store, or of ours. */
const typed: readonly string[] = ['store_unavailable', 'internal', 'store_conflict'];

let proxy: FirestoreProxy | undefined;

type Verdict = { readonly outcome: 'done' } | { readonly outcome: 'failed'; readonly error: ServiceError };

/** Runs one call and checks what must be true of it, however it ends. */
async function judge(
  run: () => Promise<unknown>,
  { effects, isWrite }: { readonly effects: () => Promise<number>; readonly isWrite: boolean },
  calm: () => void,
): Promise<Verdict> {
  const startMs = performance.now();
  const outcome = await run().then(
    (): Verdict => ({ outcome: 'done' }),
    (error: unknown): Verdict => {
      if (!isServiceError(error)) throw error;
      return { outcome: 'failed', error };
    },
  );
  const tookMs = performance.now() - startMs;
  calm();
  assert.ok(tookMs < timeoutMs + slackMs, `within its deadline, not ${Math.round(tookMs)} ms`);
  const times = await effects();
  assert.ok(times <= 1, `once, not ${times} times`);
  if (outcome.outcome === 'done' && isWrite) assert.equal(times, 1, 'what was acknowledged is there');
  if (outcome.outcome === 'failed') assert.ok(typed.includes(outcome.error.code), outcome.error.code);
  return outcome;
}

/** Each operation has records of its own, whose prefix tells the proxy which one a request belongs to. */
type Lane = { readonly operation: FaultOperation; readonly parties: FaultParties; fault: FaultChoice | null };

async function lanes(proxy: FirestoreProxy): Promise<{ lanes: readonly Lane[]; close: () => Promise<void> }> {
  const opened: FirestoreRecords[] = [];
  proxy.faultOf = () => null;
  const made: (Lane & { readonly mark: string })[] = [];
  // One after the other: making a client is work for the processor, and each has little time.
  for (const [at, operation] of faultOperations.entries()) {
    const prefix = `lane-${at}-of-faults`;
    const open = async (host: string, limitMs: number): Promise<FirestoreRecords> => {
      const records = await stores.open({ prefix, timeoutMs: limitMs, emulatorHost: host });
      opened.push(records);
      return records;
    };
    const clean = await open((await stores.emulator()).host, 20_000);
    const parties = { clean, faulty: await open(proxy.host, timeoutMs), fresh: await open(proxy.host, timeoutMs) };
    made.push({ operation, parties, fault: null, mark: `${prefix}-` });
  }
  proxy.faultOf = (method, request) =>
    made.find(({ mark }) => request.includes(mark))?.fault?.(method, request) ?? null;
  return { lanes: made, close: async () => void (await Promise.all(opened.map((records) => records.close()))) };
}

const modes = {
  'once, before it arrived': { once: true, after: false },
  'once, after it was done': { once: true, after: true },
  'always, before it arrived': { once: false, after: false },
  'always at writes, after they were done': { once: false, after: true },
} as const;

describe('each error class at each call', { skip }, () => {
  let made: Awaited<ReturnType<typeof lanes>> | undefined;
  before(async () => {
    proxy = await FirestoreProxy.start((await stores.emulator()).host);
    made = await lanes(proxy);
  });
  after(async () => {
    proxy?.stop();
    await made?.close();
  });

  async function round(
    fault: ProxyFault,
    { after: isAfter, once }: { once: boolean; after: boolean },
  ): Promise<Map<string, Verdict>> {
    const verdicts = await Promise.all(
      (made?.lanes ?? []).map(async (lane) => {
        const prepared = await lane.operation.prepare(lane.parties, newFaultId());
        let left = once ? 1 : Number.POSITIVE_INFINITY;
        lane.fault = (method) => {
          if (!once && isAfter && method !== 'Commit') return null;
          return left-- > 0 ? fault : null;
        };
        try {
          const verdict = await judge(prepared.run, prepared, () => {
            lane.fault = null;
          });
          return [lane.operation.title, verdict] as const;
        } catch (error) {
          throw new Error(`${lane.operation.title}: ${String(error)}`, { cause: error });
        }
      }),
    );
    return new Map(verdicts);
  }

  for (const [number, name] of Object.entries(codes)) {
    const code = Number(number);
    for (const [when, mode] of Object.entries(modes)) {
      test(`${name} ${when}: typed, in time, once`, async () => {
        const verdicts = await round({ kind: 'status', code, after: mode.after }, mode);
        for (const [title, verdict] of verdicts) {
          // What passes is not seen at all: also where only the answer was lost.
          if (passing.includes(code) && (mode.once || mode.after)) {
            assert.equal(verdict.outcome, 'done', `${title}: ${JSON.stringify(verdict)}`);
          }
          if (!mode.once && !mode.after) assert.equal(verdict.outcome, 'failed', title);
          if (verdict.outcome === 'failed' && code === 7)
            assert.equal(verdict.error.details['missing_role'], 'roles/datastore.user');
        }
      });
    }
  }

  for (const kind of ['hang', 'cut'] as const) {
    for (const isAfter of [false, true]) {
      test(`${kind === 'hang' ? 'silence' : 'a connection cut'} ${isAfter ? 'after' : 'before'} it was done, once: nobody sees it`, async () => {
        const verdicts = await round({ kind, after: isAfter }, { once: true, after: isAfter });
        for (const [title, verdict] of verdicts)
          assert.equal(verdict.outcome, 'done', `${title}: ${JSON.stringify(verdict)}`);
      });
    }
  }

  test('silence for good is store_unavailable, in time', async () => {
    const verdicts = await round({ kind: 'hang', after: false }, { once: false, after: false });
    for (const [title, verdict] of verdicts) {
      assert.ok(verdict.outcome === 'failed' && verdict.error.code === 'store_unavailable', title);
      assert.equal(verdict.error.details['reason'], 'timeout');
    }
  });

  test('the checker finds what is done twice, what is lost, what is late and what is not typed', async () => {
    const parties = made?.lanes[0]?.parties ?? assert.fail('there are lanes');
    const { clean } = parties;
    const twice = async (next: ReturnType<typeof sessionRecord>): Promise<void> => {
      const first = await clean.sessions.replace(next);
      if (first !== null) await clean.sessions.replace(first);
    };
    const controls: readonly [RegExp, (next: ReturnType<typeof sessionRecord>) => Promise<unknown>][] = [
      [/once, not 2 times/, twice],
      [/what was acknowledged is there/, async () => {}],
      [/within its deadline/, () => new Promise((resolve) => setTimeout(resolve, timeoutMs + slackMs + 10))],
      [/boom/, async () => Promise.reject(new Error('boom'))],
      [/session_busy/, async () => Promise.reject(new ServiceError('session_busy'))],
    ];
    for (const [expected, run] of controls) {
      const session = sessionRecord({ id: newFaultId() });
      await clean.sessions.create(session);
      const effects = async (): Promise<number> =>
        ((await clean.sessions.get('acme', session.id))?.revision ?? Number.NaN) - 1;
      await assert.rejects(
        judge(
          () => run(session),
          { effects, isWrite: true },
          () => {},
        ),
        expected,
      );
    }
  });
});
