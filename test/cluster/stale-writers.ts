// Writes into Firestore what an owner that was stopped knew when somebody took its session: with the client that it
// has itself, behind everybody's back.

import assert from 'node:assert/strict';
import { FirestoreRecords } from '../../src/adapters/firestore/firestore-records.ts';
import type { SessionRecord } from '../../src/core/session.ts';
import type { TurnRecord } from '../../src/core/turn.ts';
import { createSilentLogger } from '../../src/observability/logger.ts';
import { SystemClock } from '../../src/observability/system-clock.ts';
import { sessionRecord, turnRecord } from '../../src/testing/stored-records.ts';
import type { GoogleServices } from './google-services.ts';

const tenant = 'default';
const planted = 'written by nobody who may';

export type KnownSession = { readonly session: SessionRecord; readonly turn: TurnRecord | null };

export class StaleWriters {
  readonly #records: FirestoreRecords;

  private constructor(records: FirestoreRecords) {
    this.#records = records;
  }

  static async open(google: GoogleServices): Promise<StaleWriters> {
    const own = await openRecords(google, 'stale-writers');
    try {
      // Else it would prove nothing that such a commit is refused.
      const [session, turn] = [sessionRecord(), turnRecord()];
      await own.sessions.create(session);
      await own.turns.create(turn);
      const written = await own.commit({ ...session, title: planted }, turn);
      assert.ok(written !== null, 'by who knows the newest it is taken');
      assert.equal(await own.commit({ ...session, title: planted }, written.turn), null);
    } finally {
      await own.close();
    }
    return new StaleWriters(await openRecords(google, google.prefix));
  }

  /** As their owner knows them now. */
  async remember(sessionIds: readonly string[]): Promise<KnownSession[]> {
    const known = await Promise.all(
      sessionIds.map(async (id): Promise<KnownSession[]> => {
        const session = await this.#records.sessions.get(tenant, id);
        const { data } = await this.#records.turns.listOpenOf(tenant, id, { after: null, limit: 1, order: 'asc' });
        return session === null ? [] : [{ session, turn: data[0] ?? null }];
      }),
    );
    return known.flat();
  }

  /** For each of which the epoch is over, the end of its turn as the old owner would commit it; how many were refused. */
  async plant(known: readonly KnownSession[]): Promise<number> {
    const { sessions, turns } = this.#records;
    let refused = 0;
    for (const { session, turn } of known) {
      const { id } = session;
      const before = await sessions.get(tenant, id);
      if (before === null || before.epoch === session.epoch) continue;
      const stale: SessionRecord = { ...session, title: planted, status: 'idle' };
      assert.equal(await sessions.replace(stale), null, `a write at epoch ${session.epoch} of ${before.epoch}`);
      if (turn !== null) {
        // Even if nobody has touched the turn since: the session's record is a part of the step.
        const turnNow = (await turns.get(tenant, turn.id)) ?? turn;
        assert.equal(await this.#records.commit(stale, { ...turnNow, finalMessage: planted }), null);
        assert.notEqual((await turns.get(tenant, turn.id))?.finalMessage, planted, 'neither of both is written');
      }
      assert.notEqual((await sessions.get(tenant, id))?.title, planted, 'nothing planted is there');
      refused += 1;
    }
    return refused;
  }

  async close(): Promise<void> {
    await this.#records.close();
  }
}

async function openRecords(google: GoogleServices, prefix: string): Promise<FirestoreRecords> {
  return await FirestoreRecords.open({
    project: google.project,
    database: '(default)',
    prefix,
    timeoutMs: 20_000,
    clock: new SystemClock(),
    logger: createSilentLogger(),
    retainJobsMs: 1_000,
    retainDeliveriesMs: 1_000,
    emulatorHost: google.firestore.host,
  });
}
