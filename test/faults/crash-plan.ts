// Where a fleet is to die of its own hand: the points of a turn's commit, by the store's method. The one
// list that the test chooses from and the child obeys.

export const crashPoints = [
  /** The turn is accepted. */
  'turns.create',
  /** Any step of a turn that the record takes, its beginning included. */
  'turns.replace',
  /** The session is taken, let go, or stands otherwise. */
  'sessions.replace',
  /** The pack or the manifest of a snapshot. */
  'snapshots.put',
  /** The commit point. */
  'records.commit',
  /** The one terminal event. */
  'log.append terminal',
] as const;
export type CrashPoint = (typeof crashPoints)[number];

export type CrashPlan = {
  readonly point: CrashPoint;
  /** midway: with a part of an object written. */
  readonly when: 'before' | 'midway' | 'after';
  /** Dies at this call of it, counted from 1. */
  readonly nth: number;
};

/** Every place, the commit's own first. */
export const crashPlaces: readonly Omit<CrashPlan, 'nth'>[] = [
  { point: 'snapshots.put', when: 'before' },
  { point: 'snapshots.put', when: 'midway' },
  { point: 'snapshots.put', when: 'after' },
  { point: 'records.commit', when: 'before' },
  { point: 'records.commit', when: 'after' },
  { point: 'log.append terminal', when: 'before' },
  { point: 'log.append terminal', when: 'after' },
  { point: 'sessions.replace', when: 'before' },
  { point: 'sessions.replace', when: 'after' },
  { point: 'turns.create', when: 'after' },
  { point: 'turns.replace', when: 'after' },
];
