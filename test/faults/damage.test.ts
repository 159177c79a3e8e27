import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventOnWire } from '../../src/api/events.ts';
import { dishonesty, type AfterDamage } from './damage.ts';

const restored: EventOnWire = {
  seq: 9,
  cursor: '2.9',
  type: 'session.recovered',
  session_id: 's',
  turn_id: null,
  at: '2026-01-01T00:00:00.000Z',
  restored_turn_id: 't',
};
const completed = { kind: 'ended', status: 'completed', code: null, forgotten: [], lostFiles: [], events: [] } as const;

test('what is lost must be said: a plain completed and a failure without a name are found', () => {
  const told: readonly (readonly [AfterDamage, boolean])[] = [
    [completed, true],
    [{ ...completed, forgotten: ['say: one'] }, false],
    [{ ...completed, lostFiles: ['a.txt'] }, false],
    [{ ...completed, forgotten: ['say: one'], events: [restored] }, true],
    [{ ...completed, forgotten: ['say: one'], events: [{ ...restored, type: 'item.completed' }] }, false],
    [{ ...completed, status: 'failed', code: 'session_corrupt' }, true],
    [{ ...completed, status: 'failed', code: 'agent_crashed' }, false],
    [{ kind: 'refused', status: 500, code: 'internal' }, false],
    [{ kind: 'refused', status: 500, code: 'store_corrupt' }, true],
    [{ kind: 'start refused', said: 'database disk image is malformed' }, true],
    [{ kind: 'start refused', said: 'TypeError: undefined' }, false],
  ];
  assert.deepEqual(
    told.map(([after]) => dishonesty(after) === null),
    told.map(([, isHonest]) => isHonest),
  );
});
