// What those outside are told of a job, whoever says it: the same for the same thing.

import type { JobNoticeType, JobRecord } from './job.ts';
import type { Notice } from './webhook.ts';

/** An attempt's part of the lane's order: more than a record can have revisions. */
const ordersOfAttempt = 2 ** 32;

/** Of one attempt, in this order. */
const ranks: Readonly<Record<JobNoticeType, number>> = {
  'job.started': 0,
  'job.retrying': 1,
  'job.completed': 2,
  'job.failed': 2,
  // Also of one that had failed, and was to be tried again. The next one of the same attempt comes after it.
  'job.cancelled': 3,
};

/**
 * `job`: as it is on record then, or is about to be, with the revision that it has by that. `data`: the same as JSON
 * in the words of the API.
 */
export function jobNotice(
  job: Pick<JobRecord, 'tenant' | 'id' | 'attempts' | 'attemptCount' | 'revision'>,
  type: JobNoticeType,
  atMs: number,
  data: string,
): Notice {
  // The rest happens to an attempt once. This can happen again without another: cancelled, retried, cancelled.
  const isRepeatable = type === 'job.cancelled';
  const time = isRepeatable ? `/${job.revision}` : '';
  return {
    tenant: job.tenant,
    identity: `${job.id}/${job.attemptCount}/${type}${time}`,
    lane: job.id,
    order: job.attemptCount * ordersOfAttempt + ranks[type] + (isRepeatable ? job.revision : 0),
    sessionId: job.attempts.at(-1)?.sessionId ?? null,
    jobId: job.id,
    type,
    at: atMs,
    data,
  };
}
