// Whether the database has the indexes that the lists need: each list is asked once, for almost nothing, in every way
// that its filters and orders can be given. Firestore itself says what is missing, or is still being built.

import type { PageQuery, Records } from '../../contracts/records.ts';
import { isServiceError } from '../../core/errors.ts';
import { mintId } from '../../core/ids.ts';

/** Of nobody: a tenant's name has no such sign. */
const tenant = '~indexes';
const askedAtOnce = 8;

type Asked = readonly [list: string, ask: () => Promise<unknown>];

/** Names the lists that need an index which is not there. Rejects where the database cannot be asked. */
export async function listsWithoutIndex(records: Records): Promise<readonly string[]> {
  const missing: string[] = [];
  const left = allLists(records).values();
  const askNext = async (): Promise<void> => {
    for (const [list, ask] of left) {
      try {
        await ask();
      } catch (error) {
        if (!isServiceError(error, 'store_unavailable') || error.details['reason'] !== 'missing_index') throw error;
        missing.push(list);
      }
    }
  };
  await Promise.all(Array.from({ length: askedAtOnce }, askNext));
  return missing.toSorted();
}

function allLists({ approvals, deliveries, jobs, schedules, sessions, turns, webhooks }: Records): readonly Asked[] {
  const id = mintId();
  const nowMs = 1;
  const pages = (['asc', 'desc'] as const).flatMap((order): Asked[] => {
    const page: PageQuery = { after: null, limit: 1, order };
    return [
      [`sessions, ${order}`, () => sessions.list(tenant, page)],
      [`turns of a session, ${order}`, () => turns.list(tenant, id, page)],
      [`open turns of a session, ${order}`, () => turns.listOpenOf(tenant, id, page)],
      [`approvals, ${order}`, () => approvals.list(tenant, { sessionId: null, status: null }, page)],
      [`approvals of a session, ${order}`, () => approvals.list(tenant, { sessionId: id, status: null }, page)],
      [`approvals by status, ${order}`, () => approvals.list(tenant, { sessionId: null, status: 'pending' }, page)],
      [
        `approvals of a session by status, ${order}`,
        () => approvals.list(tenant, { sessionId: id, status: 'pending' }, page),
      ],
      [`jobs, ${order}`, () => jobs.list(tenant, { scheduleId: null, status: null }, page)],
      [`jobs of a schedule, ${order}`, () => jobs.list(tenant, { scheduleId: id, status: null }, page)],
      [`jobs by status, ${order}`, () => jobs.list(tenant, { scheduleId: null, status: 'queued' }, page)],
      [`jobs of a schedule by status, ${order}`, () => jobs.list(tenant, { scheduleId: id, status: 'queued' }, page)],
      [`schedules, ${order}`, () => schedules.list(tenant, page)],
      [`webhooks, ${order}`, () => webhooks.list(tenant, page)],
      [`deliveries, ${order}`, () => deliveries.list(tenant, { targetId: id, status: null }, page)],
      [`deliveries by status, ${order}`, () => deliveries.list(tenant, { targetId: id, status: 'failed' }, page)],
    ];
  });
  return [
    ...pages,
    ['sessions in use', () => sessions.listHeld(null, 1)],
    ['unused sessions', () => sessions.listUnused(nowMs, null, 1)],
    ['open turns', () => turns.listOpen(null, 1)],
    ['due approvals', () => approvals.listDue(nowMs, null, 1)],
    ['open jobs of a tenant', () => jobs.countOpen(tenant, 1)],
    ['due jobs', () => jobs.listDue(nowMs, null, 1)],
    ['running jobs', () => jobs.listRunning(null, 1)],
    ['ended jobs', () => jobs.listEnded(nowMs, null, 1)],
    ['due schedules', () => schedules.listDue(nowMs, null, 1)],
    ['deliveries of a lane', () => deliveries.listLane(tenant, id, 1)],
    ['due deliveries', () => deliveries.listDue(nowMs, null, 1)],
    ['ended deliveries', () => deliveries.listEnded(nowMs, null, 1)],
    // These find nothing, and so write nothing.
    ['deliveries of a session', () => deliveries.eraseOf(tenant, { sessionId: id })],
    ['deliveries of a job', () => deliveries.eraseOf(tenant, { jobId: id })],
    ['deliveries to a target', () => deliveries.eraseOf(tenant, { targetId: id })],
    ['what an erased session leaves', () => sessions.erase(tenant, id)],
  ];
}
