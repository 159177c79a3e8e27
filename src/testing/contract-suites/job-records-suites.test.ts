// The suites of jobs, schedules, webhooks and deliveries must catch what they are for: each store here is right but
// for one fault.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRecords } from '../../adapters/memory/memory-records.ts';
import type { FleetPlace, Page, Records } from '../../contracts/records.ts';
import { failedChecks } from './contract-suite.ts';
import { jobRecordsChecks } from './job-records-suite.ts';
import { webhookRecordsChecks } from './webhook-records-suite.ts';

const checks = [...jobRecordsChecks, ...webhookRecordsChecks];
const forEver = Number.MAX_SAFE_INTEGER;

/** `breakIt` puts another method in place of a right one. */
function brokenFail(fault: string, breakIt: (records: Records) => void, title: RegExp): void {
  test(`records that ${fault} do not pass`, async () => {
    const suspected = checks.filter((check) => title.test(check.title));
    assert.equal(suspected.length, 1, `one check is for it, not ${suspected.length}`);
    const failed = await failedChecks(suspected, async () => {
      const records = new MemoryRecords();
      breakIt(records);
      return { adapter: records, close: async () => {} };
    });
    assert.equal(failed.length, 1);
  });
}

type FleetList = (beforeMs: number, after: FleetPlace | null, limit: number) => Promise<Page<FleetPlace>>;

/** Every page is the first. */
const firstPages =
  (list: FleetList): FleetList =>
  (beforeMs, _after, limit) =>
    list(beforeMs, null, limit);

/** Forgets what the list is bounded by. */
const unbounded =
  (list: FleetList): FleetList =>
  (_beforeMs, after, limit) =>
    list(forEver, after, limit);

brokenFail(
  'overwrite a job that stands',
  ({ jobs }) => {
    const create = jobs.create.bind(jobs);
    jobs.create = async (record) => {
      await jobs.erase(record.tenant, record.id);
      return await create(record);
    };
  },
  /^jobs: an id that is taken/,
);
brokenFail(
  'look whether a delivery stands before they create it',
  ({ deliveries }) => {
    const create = deliveries.create.bind(deliveries);
    deliveries.create = async (record) => {
      const standing = await deliveries.get(record.tenant, record.id);
      if (standing !== null) return { outcome: 'exists', record: standing };
      await create(record);
      return { outcome: 'created', record };
    };
  },
  /^deliveries: of many that create/,
);
brokenFail(
  'overwrite whatever revision stands',
  ({ schedules }) => {
    const replace = schedules.replace.bind(schedules);
    schedules.replace = async (next) => {
      const standing = await schedules.get(next.tenant, next.id);
      return standing === null ? null : await replace({ ...next, revision: standing.revision });
    };
  },
  /^schedules: a write on the revision/,
);
brokenFail(
  'look at the revision before they write',
  ({ webhooks }) => {
    webhooks.replace = async (next) => {
      const standing = await webhooks.get(next.tenant, next.id);
      if (standing?.revision !== next.revision) return null;
      const written = { ...next, revision: next.revision + 1 };
      await webhooks.erase(next.tenant, next.id);
      await webhooks.create(written);
      return written;
    };
  },
  /^webhooks: of many that write/,
);
brokenFail(
  'start every page of webhooks at the first',
  ({ webhooks }) => {
    const list = webhooks.list.bind(webhooks);
    webhooks.list = (tenant, query) => list(tenant, { ...query, after: null });
  },
  /^webhooks are paged/,
);
brokenFail(
  'start anew behind a place that is gone',
  ({ jobs }) => {
    const list = jobs.list.bind(jobs);
    jobs.list = async (tenant, filter, query) => {
      const isGone = query.after !== null && (await jobs.get(tenant, query.after)) === null;
      return await list(tenant, filter, isGone ? { ...query, after: null } : query);
    };
  },
  /^jobs: a page goes on behind/,
);
brokenFail(
  'erase nothing',
  ({ deliveries }) => {
    deliveries.erase = async () => {};
  },
  /^deliveries: erase removes/,
);
brokenFail(
  'let one tenant read what is of another',
  ({ schedules }) => {
    const get = schedules.get.bind(schedules);
    schedules.get = (_tenant, id) => get('acme', id);
  },
  /^two tenants' schedules/,
);
brokenFail(
  'cut what is long',
  ({ deliveries }) => {
    const create = deliveries.create.bind(deliveries);
    deliveries.create = (record) => create({ ...record, data: record.data.slice(0, 1_048_576) });
  },
  /^deliveries of two megabytes/,
);
brokenFail(
  'list jobs whatever their schedule',
  ({ jobs }) => {
    const list = jobs.list.bind(jobs);
    jobs.list = (tenant, { status }, query) => list(tenant, { status, scheduleId: null }, query);
  },
  /^jobs are listed by status, by schedule/,
);
brokenFail(
  'count the jobs of one status alone',
  ({ jobs }) => {
    jobs.countOpen = async (tenant, most) => {
      const query = { after: null, limit: most, order: 'asc' } as const;
      return (await jobs.list(tenant, { status: 'queued', scheduleId: null }, query)).data.length;
    };
  },
  /^open jobs of one tenant are counted/,
);
brokenFail(
  'name jobs as due before their time',
  ({ jobs }) => {
    jobs.listDue = unbounded(jobs.listDue.bind(jobs));
  },
  /^queued jobs of all tenants are due/,
);
brokenFail(
  'start every page of due jobs at the first',
  ({ jobs }) => {
    jobs.listDue = firstPages(jobs.listDue.bind(jobs));
  },
  /goes on behind a place that is gone/,
);
brokenFail(
  'order what is due by tenant before id',
  ({ jobs }) => {
    const listDue = jobs.listDue.bind(jobs);
    jobs.listDue = async (beforeMs, after, limit) => {
      const page = await listDue(beforeMs, after, limit);
      const byTenant = [...page.data].sort((a, b) => a.at - b.at || (a.tenant < b.tenant ? -1 : 1));
      return { ...page, data: byTenant };
    };
  },
  /^queued jobs of all tenants are due/,
);
brokenFail(
  'list running jobs once they have ended',
  ({ jobs }) => {
    const listEnded = jobs.listEnded.bind(jobs);
    const listRunning = jobs.listRunning.bind(jobs);
    jobs.listRunning = async (after, limit) => {
      const running = await listRunning(after, limit);
      return { ...running, data: [...running.data, ...(await listEnded(forEver, null, 1)).data] };
    };
  },
  /^running jobs of all tenants/,
);
brokenFail(
  'list ended jobs that are younger',
  ({ jobs }) => {
    jobs.listEnded = unbounded(jobs.listEnded.bind(jobs));
  },
  /^jobs of all tenants that ended/,
);
brokenFail(
  'name schedules as due before their time',
  ({ schedules }) => {
    schedules.listDue = unbounded(schedules.listDue.bind(schedules));
  },
  /^schedules of all tenants are due/,
);
brokenFail(
  'list deliveries whatever their status',
  ({ deliveries }) => {
    const list = deliveries.list.bind(deliveries);
    deliveries.list = (tenant, { targetId }, query) => list(tenant, { targetId, status: null }, query);
  },
  /^deliveries are listed by target/,
);
brokenFail(
  'order a lane by age',
  ({ deliveries }) => {
    const listLane = deliveries.listLane.bind(deliveries);
    deliveries.listLane = async (tenant, lane, limit) => {
      const waiting = await listLane(tenant, lane, 1_000);
      return [...waiting].sort((a, b) => a.createdAt - b.createdAt).slice(0, limit);
    };
  },
  /^what waits in a lane/,
);
brokenFail(
  'order a lane by order alone',
  ({ deliveries }) => {
    const listLane = deliveries.listLane.bind(deliveries);
    deliveries.listLane = async (tenant, lane, limit) => {
      const waiting = await listLane(tenant, lane, 1_000);
      return [...waiting]
        .reverse()
        .sort((a, b) => a.order - b.order)
        .slice(0, limit);
    };
  },
  /^what waits in a lane/,
);
brokenFail(
  'say of a due delivery its id in place of its lane',
  ({ deliveries }) => {
    const listDue = deliveries.listDue.bind(deliveries);
    deliveries.listDue = async (beforeMs, after, limit) => {
      const page = await listDue(beforeMs, after, limit);
      return { ...page, data: page.data.map((place) => ({ ...place, sessionId: place.id })) };
    };
  },
  /^pending deliveries of all tenants are due/,
);
brokenFail(
  'start every page of ended deliveries at the first',
  ({ deliveries }) => {
    deliveries.listEnded = firstPages(deliveries.listEnded.bind(deliveries));
  },
  /^deliveries of all tenants that ended/,
);
brokenFail(
  'leave what has ended of an erased session',
  ({ deliveries }) => {
    deliveries.eraseOf = async (tenant, of) => {
      if (!('sessionId' in of)) return;
      const due = await deliveries.listDue(forEver, null, 1_000);
      for (const { id } of due.data) {
        if ((await deliveries.get(tenant, id))?.sessionId === of.sessionId) await deliveries.erase(tenant, id);
      }
    };
  },
  /^the deliveries of a session/,
);
brokenFail(
  'erase what another tenant has of that name',
  ({ deliveries }) => {
    const eraseOf = deliveries.eraseOf.bind(deliveries);
    deliveries.eraseOf = async (tenant, of) => {
      await eraseOf(tenant, of);
      await eraseOf('other', of);
    };
  },
  /^the deliveries of a session/,
);
brokenFail(
  'erase the first page of many',
  ({ deliveries }) => {
    deliveries.eraseOf = async (tenant, of) => {
      const due = await deliveries.listDue(forEver, null, 100);
      for (const { id } of due.data) {
        const delivery = await deliveries.get(tenant, id);
        const isOfIt = 'targetId' in of ? delivery?.target.id === of.targetId : true;
        if (isOfIt) await deliveries.erase(tenant, id);
      }
    };
  },
  /^hundreds of deliveries/,
);
