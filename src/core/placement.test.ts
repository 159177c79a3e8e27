import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { freeSlots, type PlacementCandidate, placeSession } from './placement.ts';

const candidate = (id: string, given: Partial<PlacementCandidate> = {}): PlacementCandidate => ({
  id,
  availability: 'ready',
  slots: { limit: 4 },
  busySessions: 0,
  waitingTurns: 0,
  ...given,
});

const anyFleet = fc.uniqueArray(
  fc.record({
    id: fc.stringMatching(/^w[0-9]{1,2}$/),
    availability: fc.constantFrom('ready', 'ejected', 'full', 'draining'),
    slots: fc.record({ limit: fc.integer({ min: 1, max: 8 }) }),
    busySessions: fc.integer({ min: 0, max: 8 }),
    waitingTurns: fc.integer({ min: 0, max: 20 }),
  }) as fc.Arbitrary<PlacementCandidate>,
  { selector: ({ id }) => id, maxLength: 8 },
);
const anyDice = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('the holder of a session gets it, unless it drains', () => {
  fc.assert(
    fc.property(anyFleet, anyDice, (workers, dice) => {
      for (const { availability, id } of workers) {
        const { reason, worker } = placeSession({ workers, holder: id, random: () => dice });
        if (availability === 'draining') assert.notEqual(worker?.id, id);
        else assert.deepEqual([worker?.id, reason], [id, 'affinity']);
      }
    }),
  );
});

test('a session without a holder goes to a worker that is ready, and nowhere only when none can take it', () => {
  fc.assert(
    fc.property(anyFleet, fc.infiniteStream(anyDice), (workers, dice) => {
      const random = (): number => dice.next().value ?? 0;
      const { reason, worker } = placeSession({ workers, holder: null, random });
      const has = (availability: string): boolean => workers.some((one) => one.availability === availability);
      if (has('ready')) assert.equal(worker?.availability, 'ready');
      else if (has('ejected')) assert.deepEqual([worker?.availability, reason], ['ejected', 'ejected_only']);
      else if (has('full')) assert.equal(reason, 'all_full');
      else assert.equal(reason, has('draining') ? 'all_draining' : 'no_worker');
    }),
  );
});

test('no turn waits at one worker while another has a free slot', () => {
  fc.assert(
    fc.property(anyFleet, fc.infiniteStream(anyDice), (workers, dice) => {
      const random = (): number => dice.next().value ?? 0;
      const { worker } = placeSession({ workers, holder: null, random });
      const isRoomSomewhere = workers.some((one) => one.availability === 'ready' && freeSlots(one) > 0);
      if (worker !== null && isRoomSomewhere) assert.ok(freeSlots(worker) > 0);
    }),
  );
});

test('of two workers the freer one is chosen', () => {
  const workers = [candidate('busy', { busySessions: 3 }), candidate('free')];
  for (const dice of [0, 0.49, 0.5, 0.99]) {
    const { reason, worker } = placeSession({ workers, holder: 'gone', random: () => dice });
    assert.deepEqual([worker?.id, reason], ['free', 'two_choices']);
  }
});

test('one worker alone is told from a choice', () => {
  const { reason, worker } = placeSession({ workers: [candidate('w0')], holder: null, random: Math.random });
  assert.deepEqual([worker?.id, reason], ['w0', 'only_one']);
});

test('many sessions spread over the fleet by its slots', () => {
  const random = seededRandom(7);
  const busy = new Map<string, number>();
  const limits = [4, 4, 4, 8];
  for (let placed = 0; placed < 2000; placed += 1) {
    const workers = limits.map((limit, index) =>
      candidate(`w${index}`, { slots: { limit: limit * 125 }, busySessions: busy.get(`w${index}`) ?? 0 }),
    );
    const { worker } = placeSession({ workers, holder: null, random });
    assert.ok(worker !== null);
    busy.set(worker.id, (busy.get(worker.id) ?? 0) + 1);
  }
  const free = limits.map((limit, index) => limit * 125 - (busy.get(`w${index}`) ?? 0));
  assert.ok(Math.max(...free) - Math.min(...free) <= 60, `what is left is uneven: ${free.join(', ')}`);
});

test("a tenant's session goes to a worker that is its own already, then to one that is nobody's", () => {
  const own = candidate('own', { reservedFor: 'ana' });
  const open = candidate('open');
  const others = candidate('others', { reservedFor: 'bob' });
  const place = (workers: PlacementCandidate[]): readonly [string | undefined, string] => {
    const { reason, worker } = placeSession({ workers, holder: null, tenant: 'ana', random: () => 0.99 });
    return [worker?.id, reason];
  };
  assert.deepEqual(place([own, open, others]), ['own', 'only_one']);
  assert.deepEqual(place([{ ...own, busySessions: 4 }, open, others]), ['open', 'only_one']);
  assert.deepEqual(place([{ ...open, busySessions: 9 }, others]), ['open', 'only_one']);
});

test("another tenant's worker is chosen only where no other could take the session, and then one where nothing runs", () => {
  const busy = candidate('busy', { reservedFor: 'bob', slots: { limit: 1 }, busySessions: 1 });
  const idle = candidate('idle', { reservedFor: 'cleo', slots: { limit: 1 } });
  const rest = [candidate('full', { availability: 'full' }), candidate('gone', { availability: 'draining' })];
  for (const dice of [0, 0.99]) {
    const question = { workers: [busy, idle, ...rest], holder: null, random: () => dice };
    const { reason, worker } = placeSession({ ...question, tenant: 'ana' });
    assert.deepEqual([worker?.id, reason], ['idle', 'reserved_only']);
  }
  const question = { workers: [busy], holder: 'busy', tenant: 'bob', random: Math.random };
  assert.equal(placeSession(question).reason, 'affinity');
});

function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
