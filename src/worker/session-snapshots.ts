// What one session's files are to its snapshots: brought up to date after a turn, put back in place when
// what rests is not what the record says. Does not know the format of a snapshot, and ends no turn.

import type { SessionKey } from '../contracts/worker-link.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord, SnapshotRef } from '../core/session.ts';
import { seedRollout } from '../protocol/rollout.ts';
import type { SessionPlace } from '../snapshot/bound-session.ts';
import { epochOfSnapshot } from '../snapshot/manifest.ts';
import { RolloutFile } from '../snapshot/rollout-file.ts';
import type { Taken, TakeRequest } from '../snapshot/take-snapshot.ts';
import type { Binding } from './binding.ts';
import type { HostParts } from './host-parts.ts';
import type { RestMark } from './session-files.ts';
import type { SessionRecorder } from './session-recorder.ts';
import type { SessionWriter } from './session-writer.ts';

export type SessionSnapshotsOptions = {
  readonly parts: Pick<
    HostParts,
    'claims' | 'clock' | 'codexVersion' | 'dropSealed' | 'files' | 'logger' | 'mayLogBeLost' | 'metrics' | 'snapshots'
  >;
  readonly recorder: SessionRecorder;
  readonly writer: SessionWriter;
  /** Where the files are; null while they rest. */
  readonly binding: () => Binding | null;
};

type Damage = { readonly object: string; readonly problem: string };

/** thorough: the workspace is looked through; ifUsed: only when the rollout says that a tool was used. */
export type Look = 'thorough' | 'ifUsed';

const wentOnWithout = 'another worker has gone on without them';

/** Objects that nothing needs any more are removed after so many snapshots. */
const snapshotsPerClearing = 16;
/** A log that loses its events while they are sealed is filled again, so often. */
const mostTakes = 3;

export class SessionSnapshots {
  readonly #options: SessionSnapshotsOptions;
  /** The files hold what no snapshot does, and only a look through the workspace will tell what. */
  #isDirty = false;
  /** Something has worked on the files since the last snapshot, or may still do so. */
  #isInUse = false;
  #sinceClearing = 0;

  constructor(options: SessionSnapshotsOptions) {
    this.#options = options;
  }

  get isDirty(): boolean {
    return this.#isDirty;
  }

  /** The files may hold more than the record's snapshot. */
  get isBehind(): boolean {
    return this.#isDirty || this.#isInUse;
  }

  /** A turn begins: the rollout will tell whether it touches files. */
  turnBegins(): void {
    this.#isInUse = true;
  }

  /** The files change in a way that no rollout will tell of. */
  touched(): void {
    this.#isInUse = true;
    this.#isDirty = true;
  }

  /** Makes sure that what rests is what the record says, or the newest before it that is whole. */
  async makeReady(): Promise<void> {
    const { claims, files, logger, snapshots } = this.#options.parts;
    const { key, session } = this;
    if (this.#options.binding() !== null) return;
    const stuck = await claims.fetchLeft(key, files);
    const mark = await files.mark(key);
    const problem = mark === null ? null : await this.#problemOf(mark, session);
    if (mark !== null && problem === null) {
      this.#isDirty = mark.isDirty;
      return;
    }
    // What is given up must be told where it held anything that the snapshot does not. What another worker went on
    // without was given up then: by who took the session over, and said that it did.
    const isGivenUp = problem !== null && problem !== wentOnWithout && mark?.isDirty === true;
    const lost: Damage[] = isGivenUp ? [{ object: 'resting files', problem }] : [];
    if (stuck !== null) lost.push({ object: 'files in a slot', problem: stuck });
    logger.info({ event: 'session_restoring', session_id: session.id, problem }, 'files of a session are restored');
    if (session.snapshot === null) return await this.#startAnew(lost);
    const wanted = session.snapshot;
    await files.replace(key, async (place) => {
      const { damaged, ref } = await snapshots.restore(key, wanted, place);
      if (ref.object !== wanted.object) await this.#goBackTo(ref);
      if (damaged.length + lost.length > 0) this.#tellRestored(ref, [...lost, ...damaged]);
      return { epoch: session.epoch, object: ref.object, isDirty: false };
    });
    this.#isDirty = false;
  }

  /** Why what rests cannot be gone on with; null when it can. */
  async #problemOf(
    mark: RestMark & { readonly isOfThisStart: boolean },
    session: SessionRecord,
  ): Promise<string | null> {
    if (!mark.isOfThisStart) return 'they are from before the last start of the machine';
    const { snapshot } = session;
    // Whoever committed after dirty ones were left wrote in a later epoch.
    const committedIn = snapshot === null ? 0 : epochOfSnapshot(snapshot);
    if (mark.isDirty && mark.epoch < committedIn) return wentOnWithout;
    if (!mark.isDirty && mark.object !== (snapshot?.object ?? null)) return 'they are of another turn';
    // To load a thread adds a line to its rollout, turn or no turn.
    return (await this.#isSound(session)) ? null : 'they are damaged';
  }

  /** Durable when it resolves; it is the session's once the record says so. Rejects as Snapshots.take. */
  async take(turnId: TurnId | null, look: Look): Promise<SnapshotRef> {
    const { parts, writer } = this.#options;
    const { key, session } = this;
    const binding = this.#options.binding();
    const place = binding === null ? parts.files.restingPlace(key) : parts.files.slotPlace(key, binding.places);
    await writer.flushed();
    if (writer.failure !== null) throw writer.failure;
    this.#isInUse = true;
    const mustLook = look === 'thorough' || this.#isDirty || binding?.mayHaveCommands() !== false;
    this.#isDirty = true;
    // First: files that still bear an earlier epoch when this one has committed were gone on without.
    if (binding === null) await this.#markRest();
    const { facts, ref } = await this.#takeWhole(() => ({
      key,
      epoch: session.epoch,
      turnId,
      base: session.snapshot,
      place,
      rolloutPath: this.#seed().relativePath,
      exclude: session.policy.snapshotExclude,
      workspace: mustLook ? 'walk' : 'unless_untouched',
      sealUpTo: writer.lastSeq,
    }));
    if (facts.walked) binding?.toolsUsed();
    if (facts.skipped.length > 0) {
      parts.logger.info(
        { event: 'snapshot_left_out', session_id: session.id, count: facts.skipped.length },
        'a snapshot leaves out what it cannot hold',
      );
    }
    return ref;
  }

  /**
   * What was told since the last snapshot goes into one as well: a session at rest has nobody who could tell it
   * again to a log that lost it. Nothing else has changed. A failure leaves it to the log alone.
   */
  async sealRest(): Promise<void> {
    const { binding, parts, recorder, writer } = this.#options;
    const { key, session } = this;
    const base = session.snapshot;
    if (!parts.mayLogBeLost || base === null || this.isBehind || binding() !== null) return;
    if (writer.lastSeq <= base.lastSeq || writer.failure !== null) return;
    try {
      // Who took a session to tell something has not looked at its files: those that rest here may be older ones.
      const mark = await parts.files.mark(key);
      if (mark === null || mark.isDirty || !mark.isOfThisStart || mark.object !== base.object) return;
      const { ref } = await this.#takeWhole(() => ({
        key,
        epoch: session.epoch,
        turnId: base.turnId,
        base,
        place: parts.files.restingPlace(key),
        rolloutPath: this.#seed().relativePath,
        exclude: session.policy.snapshotExclude,
        workspace: 'unless_untouched',
        sealUpTo: writer.lastSeq,
      }));
      await recorder.write((standing) => ({ ...standing, snapshot: ref, unsealed: standing.unsealed ?? [] }));
      await this.taken(ref);
    } catch (error) {
      parts.logger.warn(
        { event: 'rest_not_sealed', session_id: session.id, err: error },
        'the last events of a session that rests are in the log alone',
      );
    }
  }

  /** What the log lost before it was sealed is kept by the writer, and written again. */
  async #takeWhole(request: () => TakeRequest): Promise<Taken> {
    const { parts, writer } = this.#options;
    const { clock, metrics } = parts;
    const askedAtMs = clock.monotonicMs();
    for (let takes = 1; ; takes++) {
      try {
        const taken = await parts.snapshots.take(request());
        metrics.snapshots.inc({ outcome: 'taken' });
        metrics.snapshotSeconds.observe((clock.monotonicMs() - askedAtMs) / 1000);
        metrics.snapshotBytes.inc(taken.facts.putBytes);
        return taken;
      } catch (error) {
        const mayBeLost = parts.mayLogBeLost && isServiceError(error, 'store_unavailable');
        if (!mayBeLost || takes === mostTakes || writer.isClosed) {
          metrics.snapshots.inc({ outcome: 'failed' });
          throw error;
        }
        await writer.confirmed();
      }
    }
  }

  /** After the record was to be brought to this snapshot: where it was, the files stand there, too. */
  async taken(ref: SnapshotRef): Promise<void> {
    const { parts, writer } = this.#options;
    if (this.session.snapshot?.object !== ref.object) return;
    writer.sealed(ref.lastSeq);
    const binding = this.#options.binding();
    this.#isDirty = false;
    // What a turn left running goes on writing.
    this.#isInUse = binding?.mayHaveCommands() === true;
    if (binding === null) await this.#markRest();
    this.#sinceClearing++;
    if (this.#sinceClearing < snapshotsPerClearing) return;
    await this.clear();
    parts.logger.debug({ event: 'snapshots_cleared', session_id: this.session.id }, 'old snapshots were removed');
  }

  /** Removes what neither the record's snapshot nor those kept before it need; a failure costs space, nothing else. */
  async clear(): Promise<void> {
    const { dropSealed, logger, snapshots } = this.#options.parts;
    const { key, session } = this;
    const ref = session.snapshot;
    if (ref === null || this.#sinceClearing === 0) return;
    this.#sinceClearing = 0;
    const keep = session.start === null || session.start === 'empty' ? [] : [session.start];
    await snapshots
      .clear(key, session.epoch, ref, keep)
      .catch((error: unknown) =>
        logger.warn({ event: 'snapshots_not_cleared', session_id: session.id, err: error }, 'old snapshots were kept'),
      );
    await dropSealed?.(key, ref.lastSeq);
  }

  /** What is said of the files when they come to rest. */
  restMark(): RestMark {
    const { epoch, snapshot } = this.session;
    return { epoch, object: snapshot?.object ?? null, isDirty: this.isBehind };
  }

  async #markRest(): Promise<void> {
    const { files, logger } = this.#options.parts;
    // An old mark costs a restore, or another look through the workspace.
    await files
      .setMark(this.key, this.restMark())
      .catch((error: unknown) =>
        logger.warn({ event: 'rest_not_marked', session_id: this.session.id, err: error }, 'resting files not marked'),
      );
  }

  /** A rollout that was cut or changed where it rests is found here, before Codex forgets what it held. */
  async #isSound(session: SessionRecord): Promise<boolean> {
    const { files, snapshots } = this.#options.parts;
    const { snapshot } = session;
    const place = files.restingPlace(this.key);
    try {
      if (snapshot === null) return await this.#beginsAsSeeded(place);
      return await snapshots.hasGrownFrom(this.key, snapshot, place);
    } catch (error) {
      // Far larger than Codex may make it, it is no rollout any more.
      if (isServiceError(error, 'session_corrupt') || isServiceError(error, 'session_full')) return false;
      throw error;
    }
  }

  async #beginsAsSeeded(place: SessionPlace): Promise<boolean> {
    const { line, relativePath } = this.#seed();
    const rollout = RolloutFile.open(place.sessions, relativePath);
    try {
      const seeded = Buffer.from(line);
      return seeded.equals(await rollout.read(0, seeded.length));
    } finally {
      rollout.close();
    }
  }

  async #startAnew(lost: readonly Damage[]): Promise<void> {
    const { files } = this.#options.parts;
    const { key, session } = this;
    const { line, relativePath } = this.#seed();
    await files.erase(key);
    await files.create(key, { relativePath, content: line }, session.epoch);
    if (lost.length > 0) this.#tellRestored(null, lost);
    this.#isDirty = false;
  }

  /** The record follows the files, or the next snapshot would build on what cannot be read. */
  async #goBackTo(ref: SnapshotRef): Promise<void> {
    const { recorder } = this.#options;
    await recorder.write((session) => ({ ...session, snapshot: ref }));
    if (recorder.session.snapshot?.object !== ref.object) throw new ServiceError('stale_epoch');
  }

  #tellRestored(ref: SnapshotRef | null, damaged: readonly Damage[]): void {
    const { parts, writer } = this.#options;
    const facts = { session_id: this.session.id, turn_id: ref?.turnId ?? null, damaged: damaged.length };
    parts.logger.error({ event: 'session_restored', ...facts, problems: damaged }, 'a damaged session was restored');
    writer.write({
      type: 'session.restored',
      turnId: null,
      fields: { to_turn_id: ref?.turnId ?? null, damaged },
      raw: null,
    });
  }

  #seed(): ReturnType<typeof seedRollout> {
    const { createdAt, id } = this.session;
    const { codexVersion } = this.#options.parts;
    return seedRollout({ sessionId: id, createdAtMs: createdAt, codexVersion, modelProvider: 'fleet' });
  }

  get session(): SessionRecord {
    return this.#options.recorder.session;
  }

  get key(): SessionKey {
    const { id, tenant } = this.session;
    return { tenant, sessionId: id };
  }
}
