// What a worker asks of the records: those of the sessions that it is given, found by their names. It lists no
// fleet, no tenant, and nothing of jobs, schedules and webhooks.

import type { ApprovalRecords, Records, SessionRecords, TurnRecords } from './records.ts';

export interface WorkerRecords {
  readonly sessions: Pick<SessionRecords, 'create' | 'get' | 'replace' | 'erase'>;
  readonly turns: Pick<TurnRecords, 'create' | 'get' | 'replace' | 'listOpenOf'>;
  readonly approvals: Pick<ApprovalRecords, 'create' | 'get' | 'replace' | 'list'>;
  /** As Records.commit. */
  readonly commit: Records['commit'];
}
