// Bugs that the simulation has to find, each as a change of one place in the sources.

export type PlantedBug = {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
};

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'a takeover does not raise the epoch',
    file: 'src/worker/take-session.ts',
    from: 'const epoch = hasOtherWriter ? found.epoch + 1 : found.epoch;',
    to: 'const epoch = hasOtherWriter ? found.epoch : found.epoch;',
  },
  {
    name: 'the end of a turn is told before it is recorded',
    file: 'src/worker/turn-end.ts',
    from: '    const ended = await recordPatiently(end, nowMs);',
    to: '    await tellEnd(writer, recorder, { ...turn, ...outcome, endedAt: nowMs });\n    const ended = await recordPatiently(end, nowMs);',
  },
  {
    name: 'a recovery runs again what ran',
    file: 'src/worker/recover-session.ts',
    from: "    if (turn.status === 'queued') waiting.push(turn);",
    to: "    if (turn.continues === null) waiting.push({ ...turn, status: 'queued' });",
  },
  {
    name: 'a claim succeeds while another holds the lease',
    file: 'src/adapters/memory/memory-session-directory.ts',
    from: '    if (!isFree) return standing;',
    to: '    if (!isFree && standing === null) return standing;',
  },
  {
    name: 'a lease is never renewed',
    file: 'src/worker/lease-keeper.ts',
    from: 'for (const kept of this.#kept.values()) if (!kept.renewing) void this.#renew(kept);',
    to: 'for (const kept of this.#kept.values()) if (kept.renewing) void this.#renew(kept);',
  },
  {
    name: 'what the log lost is not brought back',
    file: 'src/worker/session-writer.ts',
    from: '    const lost = retained?.takeBehind(opened.lastSeq) ?? [];',
    to: '    const lost = retained?.takeBehind(Infinity) ?? [];',
  },
  {
    name: 'a record is replaced whatever its revision',
    file: 'src/adapters/memory/record-table.ts',
    from: '?.revision === revision;',
    to: '?.revision !== revision - 1e9;',
  },
  {
    name: 'the record does not say which ends are untold',
    file: 'src/worker/session-recorder.ts',
    from: '    return { ...session, untold, unsealed: [...(session.unsealed ?? []), turnId].slice(-mostUnsealed) };',
    to: '    return session;',
  },
  {
    name: 'a recovery tells again what was told',
    file: 'src/worker/recover-session.ts',
    from: '    else if (told.has(turnId) || isKept) notices.turnEnded(turn);',
    to: "    else if (turnId === '') notices.turnEnded(turn);",
  },
  {
    name: 'a turn is completed though its work was not kept',
    file: 'src/worker/session-turns.ts',
    from: '      return { outcome: notKept(outcome, error), ref: null };',
    to: '      return { outcome, ref: null };',
  },
  {
    name: 'a client is not told what a lost push left out',
    file: 'src/gateway/log-follower.ts',
    from: '      if (first.header.seq > this.#position + 1) return null;',
    to: '      if (first.header.seq < this.#position - 1e9) return null;',
  },
  {
    name: 'files of an earlier owner are gone on with',
    file: 'src/worker/session-snapshots.ts',
    from: "mark.object !== (snapshot?.object ?? null)) return 'they are of another turn';",
    to: "mark.object === '') return 'they are of another turn';",
  },
  {
    name: 'a session whose recovery failed is kept by who failed',
    file: 'src/worker/worker.ts',
    from: '      await leases.release(lease).catch(() => undefined);\n      throw error;',
    to: '      throw error;',
  },
  {
    name: 'a run that takes a session again gives its places out twice',
    file: 'src/worker/take-session.ts',
    from: ' || parts.mayLogBeLost;',
    to: ';',
  },
  {
    name: 'a client that comes back does not see that the log has lost what it saw',
    file: 'src/gateway/log-follower.ts',
    from: 'this.#epoch = options.afterEpoch ?? null;',
    to: 'this.#epoch = null;',
  },
];
