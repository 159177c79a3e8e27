// The suites must catch what they are for: each adapter here is right but for one fault.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileSnapshotStore } from '../../adapters/files/file-snapshot-store.ts';
import { MemoryEventLog } from '../../adapters/memory/memory-event-log.ts';
import { MemoryRecords } from '../../adapters/memory/memory-records.ts';
import { MemorySessionDirectory } from '../../adapters/memory/memory-session-directory.ts';
import type { AppendResult, EventLog, LogKey, LogPage, OpenResult } from '../../contracts/event-log.ts';
import type { CreateResult, Page, PageQuery, Records } from '../../contracts/records.ts';
import type { Lease, SessionDirectory } from '../../contracts/session-directory.ts';
import type { SnapshotStore } from '../../contracts/snapshots.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import type { StoredEvent } from '../../core/event.ts';
import type { SessionRecord } from '../../core/session.ts';
import { FakeClock } from '../fake-clock.ts';
import { failedChecks } from './contract-suite.ts';
import { snapshotStoreChecks } from './snapshot-store-suite.ts';
import { eventLogChecks, losingLogChecks } from './event-log-suite.ts';
import { recordsChecks } from './records-suite.ts';
import { sessionDirectoryChecks } from './session-directory-suite.ts';

type Listener = (events: readonly StoredEvent[]) => void;

/** Runs the named checks alone: each must fail, and some that others fail would wait for their deadline. */
function brokenLogFails(fault: string, createLog: () => EventLog, ...titles: readonly RegExp[]): void {
  test(`an event log that ${fault} does not pass`, async () => {
    const checks = eventLogChecks.filter((check) => titles.some((title) => title.test(check.title)));
    assert.equal(checks.length, titles.length);
    const failed = await failedChecks(checks, async () => ({ adapter: createLog(), close: async () => {} }));
    assert.deepEqual(
      failed,
      checks.map((check) => check.title),
    );
  });
}

class LosingLog extends MemoryEventLog {
  override append(key: LogKey, epoch: number, events: readonly StoredEvent[]): Promise<AppendResult> {
    return super.append(key, epoch, events.length > 1 ? events.slice(0, -1) : events);
  }
}

class TwiceDeliveringLog extends MemoryEventLog {
  override subscribe(key: LogKey, listener: Listener): Promise<() => void> {
    return super.subscribe(key, (events) => {
      listener(events);
      listener(events);
    });
  }
}

class LateDeliveringLog extends MemoryEventLog {
  override subscribe(key: LogKey, listener: Listener): Promise<() => void> {
    let held: readonly StoredEvent[] | null = null;
    return super.subscribe(key, (events) => {
      if (held === null) held = events;
      else {
        listener(events);
        listener(held);
        held = null;
      }
    });
  }
}

class DeafLog extends MemoryEventLog {
  override async subscribe(): Promise<() => void> {
    return () => {};
  }
}

class UnendingLog extends MemoryEventLog {
  override async subscribe(key: LogKey, listener: Listener): Promise<() => void> {
    await super.subscribe(key, listener);
    return () => {};
  }
}

/** Takes every writer for one of the latest epoch. */
class UnfencedLog implements EventLog {
  readonly #inner = new MemoryEventLog();
  #latest = 0;

  open(key: LogKey, epoch: number, sealedSeq: number): Promise<OpenResult> {
    this.#latest = Math.max(this.#latest, epoch);
    return this.#inner.open(key, this.#latest, sealedSeq);
  }

  append(key: LogKey, epoch: number, events: readonly StoredEvent[]): Promise<AppendResult> {
    this.#latest = Math.max(this.#latest, epoch);
    const latest = this.#latest;
    const lifted = events.map((event) => ({ ...event, header: { ...event.header, epoch: latest } }));
    return this.#inner.append(key, latest, lifted);
  }

  read(key: LogKey, afterSeq: number, limit: number): Promise<LogPage> {
    return this.#inner.read(key, afterSeq, limit);
  }

  subscribe(key: LogKey, listener: Listener): Promise<() => void> {
    return this.#inner.subscribe(key, listener);
  }

  erase(key: LogKey): Promise<void> {
    return this.#inner.erase(key);
  }
}

/** Forgets the tenant. */
class SharedLog extends MemoryEventLog {
  override append(key: LogKey, epoch: number, events: readonly StoredEvent[]): Promise<AppendResult> {
    const shared = events.map((event) => ({ ...event, header: { ...event.header, tenant: 'all' } }));
    return super.append({ ...key, tenant: 'all' }, epoch, shared);
  }

  override read(key: LogKey, afterSeq: number, limit: number): Promise<LogPage> {
    return super.read({ ...key, tenant: 'all' }, afterSeq, limit);
  }

  override subscribe(key: LogKey, listener: Listener): Promise<() => void> {
    return super.subscribe({ ...key, tenant: 'all' }, listener);
  }
}

class OffByOneLog extends MemoryEventLog {
  override read(key: LogKey, afterSeq: number, limit: number): Promise<LogPage> {
    return super.read(key, afterSeq === 0 ? 0 : afterSeq - 1, limit);
  }
}

class UnerasableLog extends MemoryEventLog {
  override async erase(): Promise<void> {}
}

/** Opening tells nobody. */
class UnsaidLog extends MemoryEventLog {
  override async open(key: LogKey): Promise<OpenResult> {
    return { outcome: 'opened', lastSeq: (await this.read(key, 0, 1)).lastSeq };
  }
}

/** Goes on where it stands, whatever is sealed. */
class UnsealedLog extends MemoryEventLog {
  override open(key: LogKey, epoch: number): Promise<OpenResult> {
    return super.open(key, epoch, 0);
  }
}

brokenLogFails('loses an event of a batch', () => new LosingLog(), /read back whole/);
brokenLogFails('delivers twice', () => new TwiceDeliveringLog(), /once and in order/);
brokenLogFails('delivers out of order', () => new LateDeliveringLog(), /once and in order/);
brokenLogFails('delivers after the end of the subscription', () => new UnendingLog(), /one that left/);
brokenLogFails('ignores the epoch', () => new UnfencedLog(), /earlier epoch/, /fences/, /refused is pushed/);
brokenLogFails('ignores the tenant', () => new SharedLog(), /never meet/);
brokenLogFails('is off by one', () => new OffByOneLog(), /pages start behind/);
brokenLogFails('erases nothing', () => new UnerasableLog(), /erased session/);
brokenLogFails('never delivers', () => new DeafLog(), /once and in order/);
brokenLogFails('opens without fencing', () => new UnsaidLog(), /shuts earlier writers out/);
brokenLogFails('opens with a hole', () => new UnsealedLog(), /without a hole/);

test('an event log that loses events in silence does not pass', async () => {
  const checks = losingLogChecks.filter(({ title }) => /takes nothing/.test(title));
  const failed = await failedChecks(checks, async () => {
    const log = new MemoryEventLog();
    return { adapter: { log, lose: () => log.erase({ tenant: 'acme', sessionId: '1' }) }, close: async () => {} };
  });
  assert.equal(failed.length, 3);
});

function brokenDirectoryFails(fault: string, create: (clock: FakeClock) => SessionDirectory, title: RegExp): void {
  test(`a session directory that ${fault} does not pass`, async () => {
    const failed = await failedChecks(sessionDirectoryChecks, async () => {
      const clock = new FakeClock();
      const adapter = { directory: create(clock), passTime: async (ms: number): Promise<void> => clock.advance(ms) };
      return { adapter, close: async () => {} };
    });
    assert.ok(
      failed.some((check) => title.test(check)),
      failed.join('; '),
    );
  });
}

class RacyDirectory extends MemorySessionDirectory {
  override async claim(lease: Lease, ttlMs: number): Promise<Lease | null> {
    const standing = await this.lookup(lease.tenant, lease.sessionId);
    if (standing !== null) return standing;
    await super.claim(lease, ttlMs);
    return null;
  }
}

class RevivingDirectory extends MemorySessionDirectory {
  override async renew(lease: Lease, ttlMs: number): Promise<boolean> {
    return (await super.renew(lease, ttlMs)) || (await this.claim(lease, ttlMs)) === null;
  }
}

class OpenDirectory extends MemorySessionDirectory {
  override async release(lease: Lease): Promise<void> {
    await super.release((await this.lookup(lease.tenant, lease.sessionId)) ?? lease);
  }
}

brokenDirectoryFails('looks before it claims', (clock) => new RacyDirectory(clock), /exactly one/);
brokenDirectoryFails('never ends a lease', () => new MemorySessionDirectory(new FakeClock()), /not renewed ends/);
brokenDirectoryFails('renews what has ended', (clock) => new RevivingDirectory(clock), /paused past its term/);
brokenDirectoryFails('lets anyone release', (clock) => new OpenDirectory(clock), /only for its holder/);

function brokenRecordsFail(
  fault: string,
  breakIt: (records: Records) => Partial<Records['sessions']> & Partial<Pick<Records, 'commit'>>,
  title: RegExp,
): void {
  test(`records that ${fault} do not pass`, async () => {
    const failed = await failedChecks(recordsChecks, async () => {
      const records = new MemoryRecords();
      const { sessions, turns, approvals, jobs, schedules, webhooks, deliveries } = records;
      const broken = breakIt(records);
      const adapter: Records = {
        turns,
        approvals,
        jobs,
        schedules,
        webhooks,
        deliveries,
        commit: (session, turn) => (broken.commit ?? records.commit.bind(records))(session, turn),
        sessions: {
          create: (record) => (broken.create ?? sessions.create.bind(sessions))(record),
          get: (tenant, id) => (broken.get ?? sessions.get.bind(sessions))(tenant, id),
          findByAlias: (tenant, alias) => (broken.findByAlias ?? sessions.findByAlias.bind(sessions))(tenant, alias),
          replace: (next) => (broken.replace ?? sessions.replace.bind(sessions))(next),
          list: (tenant, query) => (broken.list ?? sessions.list.bind(sessions))(tenant, query),
          listHeld: (after, limit) => (broken.listHeld ?? sessions.listHeld.bind(sessions))(after, limit),
          listUnused: (beforeMs, after, limit) => sessions.listUnused(beforeMs, after, limit),
          erase: (tenant, id) => (broken.erase ?? sessions.erase.bind(sessions))(tenant, id),
        },
      };
      return { adapter, close: async () => {} };
    });
    assert.ok(
      failed.some((check) => title.test(check)),
      failed.join('; '),
    );
  });
}

brokenRecordsFail(
  'overwrite whatever stands',
  ({ sessions }) => ({
    async replace(next): Promise<SessionRecord | null> {
      const standing = await sessions.get(next.tenant, next.id);
      return standing === null ? null : sessions.replace({ ...next, revision: standing.revision });
    },
  }),
  /older or a later revision/,
);
brokenRecordsFail(
  'look at the revision before they write',
  ({ sessions }) => ({
    async replace(next): Promise<SessionRecord | null> {
      const standing = await sessions.get(next.tenant, next.id);
      if (standing?.revision !== next.revision) return null;
      await Promise.resolve();
      const latest = await sessions.get(next.tenant, next.id);
      return { ...next, revision: (latest?.revision ?? 0) + 1 };
    },
  }),
  /same revision at once/,
);
brokenRecordsFail(
  'take an alias twice',
  ({ sessions }) => ({
    create: (record): Promise<CreateResult<SessionRecord>> => sessions.create({ ...record, alias: null }),
  }),
  /same alias at once/,
);
brokenRecordsFail(
  'repeat the boundary of a page',
  ({ sessions }) => ({
    async list(tenant, query: PageQuery): Promise<Page<SessionRecord>> {
      const boundary = query.after === null ? null : await sessions.get(tenant, query.after);
      const page = await sessions.list(tenant, query);
      return boundary === null ? page : { ...page, data: [boundary, ...page.data] };
    },
  }),
  /no boundary lost or doubled/,
);
brokenRecordsFail(
  'keep turns of an erased session',
  () => ({ erase: async (): Promise<void> => {} }),
  /erase removes the session/,
);
brokenRecordsFail(
  'commit one after the other',
  ({ sessions, turns }) => ({
    async commit(session, turn): ReturnType<Records['commit']> {
      const written = await sessions.replace(session);
      const ended = written === null ? null : await turns.replace(turn);
      return written === null || ended === null ? null : { session: written, turn: ended };
    },
  }),
  /late for the session, for the turn/,
);
brokenRecordsFail(
  'start every page of held sessions at the first',
  ({ sessions }) => ({
    async listHeld(_after, limit): ReturnType<Records['sessions']['listHeld']> {
      return { ...(await sessions.listHeld(null, limit)), hasMore: false };
    },
  }),
  /that a run holds/,
);

function brokenSnapshotsFail(fault: string, create: (root: string) => SnapshotStore, title: RegExp): void {
  test(`a snapshot store that ${fault} does not pass`, async () => {
    const failed = await failedChecks(snapshotStoreChecks, async () => {
      const root = mkdtempSync(join(tmpdir(), 'broken-snapshots-'));
      const close = async (): Promise<void> => rmSync(root, { recursive: true, force: true });
      return { adapter: create(join(root, 'snapshots')), close };
    });
    assert.ok(
      failed.some((check) => title.test(check)),
      failed.join('; '),
    );
  });
}

type Content = Parameters<SnapshotStore['put']>[2];

class OverwritingSnapshots extends FileSnapshotStore {
  override async put(key: SessionKey, name: string, content: Content): Promise<void> {
    await this.remove(key, [name]);
    await super.put(key, name, content);
  }
}

/** Takes what came before the failure for the whole. */
class TrustingSnapshots extends FileSnapshotStore {
  override put(key: SessionKey, name: string, content: Content): Promise<void> {
    async function* untilItFails(): AsyncGenerator<Uint8Array> {
      try {
        yield* content;
      } catch {}
    }
    return super.put(key, name, untilItFails());
  }
}

class SharedSnapshots extends FileSnapshotStore {
  override erase(key: SessionKey): Promise<void> {
    return super.erase({ ...key, tenant: 'acme' });
  }
}

brokenSnapshotsFail('overwrites', (root) => new OverwritingSnapshots(root), /written once/);
brokenSnapshotsFail('keeps half an object', (root) => new TrustingSnapshots(root), /content that fails/);
brokenSnapshotsFail('erases another tenant', (root) => new SharedSnapshots(root), /never meet/);
