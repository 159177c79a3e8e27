// /api/v1/approvals: what Codex asked, and the answers of people. An answer is durable before it is
// acknowledged; the worker hears of it then, and looks for itself where word is lost.

import { toApprovalResource } from '../../api/approvals.ts';
import { toList } from '../../api/list.ts';
import { operations } from '../../api/operations.ts';
import { type ApprovalDecision, type ApprovalRecord, decidedApproval, expiredApproval } from '../../core/approval.ts';
import { within } from '../../core/deadline.ts';
import { ServiceError } from '../../core/errors.ts';
import type { TenantId } from '../../core/ids.ts';
import type { Principal } from '../../http/bearer.ts';
import type { HttpServer } from '../../http/server.ts';
import { principalOf } from '../auth.ts';
import type { Gear } from '../gateway-parts.ts';
import { fittingPage } from '../page-size.ts';
import { registerOperation } from '../register-operation.ts';
import { requireSession } from '../session-door.ts';

/** A worker may expire it at the same time; nobody else writes it twice. */
const decideTries = 5;
/** What the answer waits for the worker to hear of it: it looks every few seconds anyway. */
const tellDeadlineMs = 1_000;

export function registerApprovals(gear: Gear, { app }: HttpServer): void {
  registerOperation(app, gear, operations.listApprovals, async ({ query, request }) => {
    const { tenant } = principalOf(request);
    const { after = null, limit, order, session_id: ref, status = null } = query;
    const sessionId = ref === undefined ? null : (await requireSession(gear, tenant, ref)).id;
    const page = await gear.records.approvals.list(tenant, { sessionId, status }, { after, limit, order });
    const resources = fittingPage(page.data.map(toApprovalResource), (approval) => JSON.stringify(approval).length);
    return toList(resources, page.hasMore || resources.length < page.data.length);
  });

  registerOperation(app, gear, operations.getApproval, async ({ params, request }) =>
    toApprovalResource(await requireApproval(gear, principalOf(request).tenant, params.approval_id)),
  );

  registerOperation(app, gear, operations.decideApproval, async ({ params, body, request }) =>
    toApprovalResource(await decide(gear, principalOf(request), params.approval_id, body.decision)),
  );
}

async function requireApproval(gear: Gear, tenant: TenantId, id: string): Promise<ApprovalRecord> {
  const approval = await gear.records.approvals.get(tenant, id);
  if (approval === null) throw new ServiceError('approval_not_found', { approval_id: id });
  return approval;
}

/** The first answer stands; the same one again by whoever gave it is no other. */
async function decide(
  gear: Gear,
  { name, tenant }: Principal,
  id: string,
  decision: ApprovalDecision,
): Promise<ApprovalRecord> {
  for (let tries = 0; tries < decideTries; tries += 1) {
    const standing = await requireApproval(gear, tenant, id);
    if (standing.status !== 'pending') {
      const isAgain = standing.status !== 'expired' && standing.decision === decision && standing.decidedBy === name;
      if (isAgain) return standing;
      throw new ServiceError('approval_settled', { approval_status: standing.status, decision: standing.decision });
    }
    const nowMs = gear.clock.now();
    // Its time may be over with nobody there to say so: no answer comes after that.
    const settled =
      nowMs >= standing.expiresAt
        ? expiredApproval(standing, 'timeout', nowMs)
        : decidedApproval(standing, decision, name, nowMs);
    const written = settled === null ? null : await gear.records.approvals.replace(settled);
    if (written === null) continue;
    await tellWorker(gear, written);
    if (written.status === 'decided') return written;
  }
  throw new ServiceError('store_conflict');
}

async function tellWorker(gear: Gear, { id, sessionId, tenant }: ApprovalRecord): Promise<void> {
  const told = gear.worker.approvalSettled({ tenant, sessionId }, id).then(
    () => true,
    () => false,
  );
  if (await within(gear.clock, tellDeadlineMs, told, false)) return;
  gear.logger.warn({ event: 'approval_not_told', approval_id: id }, 'the worker did not hear of a decision at once');
}
