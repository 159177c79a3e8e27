import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FleetPlace } from '../../contracts/records.ts';
import type { JobRecord } from '../../core/job.ts';
import { jobRecord, jobSpec } from '../../testing/stored-records.ts';
import { SessionLines } from './session-lines.ts';

class LinesLab {
  readonly given: FleetPlace[] = [];
  forgotten = 0;
  readonly lines = new SessionLines(
    {
      onNext: (place) => this.given.push(place),
      isComing: (place) => this.given.includes(place),
      onForgotten: () => this.forgotten++,
    },
    { mostPlaces: 4, mostPerTenant: 3 },
  );

  letIn(at: number, session: string | null = 'one', tenant = 'acme'): boolean {
    return this.lines.letIn(job(at, session, tenant), place(at, tenant));
  }

  /** What comes next is taken, and tried. */
  next(session = 'one'): number | null {
    const given = this.given.shift();
    if (given === undefined) return null;
    assert.ok(this.lines.letIn(job(given.at, session, given.tenant), given));
    return given.at;
  }
}

function place(at: number, tenant = 'acme'): FleetPlace {
  return { tenant, id: `job-${at}`, sessionId: `job-${at}`, at };
}

function job(at: number, sessionRef: string | null, tenant = 'acme'): JobRecord {
  return jobRecord({ tenant, id: `job-${at}`, spec: jobSpec({ sessionRef }) });
}

test('of one session one is let in at a time, by their time; of another, of another tenant, and of none, more', () => {
  const lab = new LinesLab();
  assert.ok(lab.letIn(1));
  assert.deepEqual([lab.letIn(4), lab.letIn(2), lab.letIn(3)], [false, false, false]);
  assert.ok(lab.letIn(5, 'two') && lab.letIn(6, 'one', 'zeta') && lab.letIn(7, null) && lab.letIn(8, null));
  assert.deepEqual([lab.lines.size, lab.lines.isWaiting(place(2))], [3, true]);
  const order: (number | null)[] = [];
  for (let at: number | null = 1; at !== null; at = lab.next()) {
    order.push(at);
    lab.lines.leave(place(at));
  }
  assert.deepEqual([order, lab.lines.size], [[1, 2, 3, 4], 0]);
});

test('one that comes while the next is on its way stands behind it; a next that does not come is passed over', () => {
  const lab = new LinesLab();
  lab.letIn(1);
  lab.letIn(2);
  lab.letIn(3);
  lab.lines.leave(place(1));
  assert.equal(lab.letIn(4), false);
  // It was lost on its way.
  lab.given.length = 0;
  assert.equal(lab.letIn(5), false);
  assert.equal(lab.next(), 3);
});

test('one that ended while it stood in line makes way for the one behind it', () => {
  const lab = new LinesLab();
  lab.letIn(1);
  lab.letIn(2);
  lab.letIn(3);
  lab.lines.leave(place(1));
  lab.lines.leave(lab.given.shift() ?? assert.fail());
  assert.equal(lab.next(), 3);
});

test('those that others began count, and all have to be over', () => {
  const lab = new LinesLab();
  lab.lines.entered(job(1, 'one'));
  lab.lines.entered(job(2, 'one'));
  assert.equal(lab.letIn(3), false);
  lab.lines.leave(place(1));
  assert.equal(lab.next(), null);
  lab.lines.leave(place(2));
  assert.equal(lab.next(), 3);
});

test('a full line forgets those at its end, lets none of them in before its turn, and has them read again at the end', () => {
  const lab = new LinesLab();
  for (let at = 1; at <= 9; at++) assert.equal(lab.letIn(at), at === 1);
  assert.equal(lab.lines.size, 3);
  lab.lines.leave(place(1));
  assert.equal(lab.next(), 2);
  // There is room again, and five older ones that are not known.
  assert.deepEqual([lab.letIn(10), lab.lines.size, lab.forgotten], [false, 2, 0]);
  lab.lines.leave(place(2));
  for (const at of [3, 4]) {
    assert.equal(lab.next(), at);
    lab.lines.leave(place(at));
  }
  assert.deepEqual([lab.forgotten, lab.lines.size, lab.letIn(5)], [1, 0, true]);
});
