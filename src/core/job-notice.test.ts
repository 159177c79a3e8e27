import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jobNotice } from './job-notice.ts';
import type { JobNoticeType } from './job.ts';

const orderOf = (type: JobNoticeType, attemptCount: number, revision: number): number =>
  jobNotice({ tenant: 'acme', id: 'job', attempts: [], attemptCount, revision }, type, 0, '{}').order;

test('a job is told of in the order of what happened to it, also where it is cancelled twice without an attempt between', () => {
  const orders = [
    orderOf('job.cancelled', 0, 2),
    orderOf('job.cancelled', 0, 4),
    orderOf('job.started', 1, 5),
    orderOf('job.retrying', 1, 6),
    orderOf('job.cancelled', 1, 7),
    orderOf('job.cancelled', 1, 900),
    orderOf('job.started', 2, 901),
    orderOf('job.failed', 2, 902),
    orderOf('job.cancelled', 2, 904),
    orderOf('job.started', 1_000_000, 2 ** 31),
  ];
  assert.deepEqual(
    orders,
    [...new Set(orders)].toSorted((a, b) => a - b),
  );
  assert.ok(orders.every(Number.isSafeInteger));
});
