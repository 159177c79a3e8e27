// Finds the session that a client means, or makes it. Knows ids and aliases; not what is done with it.

import type { SessionSpec } from '../api/sessions.ts';
import { createdNotice } from '../api/webhooks.ts';
import { ServiceError } from '../core/errors.ts';
import { isUuid, mintId, type SessionId, type TenantId } from '../core/ids.ts';
import { defaultPolicy, type SessionRecord, unusedSession } from '../core/session.ts';
import { noUsage } from '../core/usage.ts';
import type { Principal } from '../http/bearer.ts';
import { eraseSession } from './erase-session.ts';
import type { Gear } from './gateway-parts.ts';

type Parts = Pick<
  Gear,
  'records' | 'clock' | 'defaultSandbox' | 'allowedSandboxes' | 'log' | 'worker' | 'outbox' | 'limits' | 'logger'
>;

/** Also one whose erasure was asked for and has not come to its end. */
export async function findRecord(
  { records }: Pick<Gear, 'records'>,
  tenant: TenantId,
  ref: string,
): Promise<SessionRecord | null> {
  const byId = isUuid(ref) ? await records.sessions.get(tenant, ref) : null;
  return byId ?? (await records.sessions.findByAlias(tenant, ref));
}

export async function findSession(
  parts: Pick<Gear, 'records'>,
  tenant: TenantId,
  ref: string,
): Promise<SessionRecord | null> {
  const found = await findRecord(parts, tenant, ref);
  return found?.erasing === true ? null : found;
}

export async function requireSession(
  parts: Pick<Gear, 'records'>,
  tenant: TenantId,
  ref: string,
): Promise<SessionRecord> {
  const session = await findSession(parts, tenant, ref);
  if (session === null) throw new ServiceError('session_not_found', { session_id: ref });
  return session;
}

export type SessionMade = { readonly session: SessionRecord; readonly isNew: boolean };

/** Of several that make the same one at once, one makes it and all have it. */
export async function makeSession(
  parts: Parts,
  principal: Principal,
  spec: SessionSpec,
  id: SessionId = mintId(),
): Promise<SessionMade> {
  const { sandbox } = spec.policy;
  if (sandbox !== undefined && !parts.allowedSandboxes.includes(sandbox)) {
    throw new ServiceError(
      'forbidden',
      { field: 'sandbox', allowed: parts.allowedSandboxes },
      { message: `This fleet does not allow the sandbox ${sandbox}.` },
    );
  }
  const nowMs = parts.clock.now();
  const record: SessionRecord = {
    tenant: principal.tenant,
    id,
    alias: spec.alias,
    ...unusedSession,
    revision: 1,
    status: 'idle',
    title: spec.title,
    metadata: spec.metadata,
    createdBy: principal.name,
    model: spec.model,
    policy: {
      ...defaultPolicy,
      sandbox: parts.defaultSandbox,
      approvalTimeoutMs: parts.limits.defaultApprovalTimeoutMs,
      ...spec.policy,
    },
    usage: noUsage,
    createdAt: nowMs,
    lastAccessedAt: nowMs,
  };
  let made = await parts.records.sessions.create(record);
  if (made.record.erasing === true) {
    // The name is free once what a crash or an impatient caller left of the old one is gone.
    await eraseSession(parts, made.record);
    made = await parts.records.sessions.create(record);
  }
  const isNew = made.outcome === 'created';
  if (isNew) tellMade(parts, made.record);
  return { session: made.record, isNew };
}

/** Nobody waits for it: what is not told now is told by the session's first owner, under the same name. */
function tellMade({ logger, outbox }: Parts, session: SessionRecord): void {
  outbox
    .put([createdNotice(session)])
    .catch((error: unknown) =>
      logger.warn({ event: 'session_not_told', session_id: session.id, err: error }, 'a new session was not told of'),
    );
}

const bareSpec: SessionSpec = {
  alias: null,
  title: null,
  metadata: {},
  model: null,
  policy: {},
};

/** A client's own name that nobody has used yet makes a session of that name. */
export async function findOrMakeSession(
  parts: Parts,
  principal: Principal,
  ref: string | null,
  idIfNew: SessionId,
): Promise<SessionMade> {
  if (ref === null) return makeSession(parts, principal, bareSpec, idIfNew);
  const found = await findSession(parts, principal.tenant, ref);
  return found === null
    ? makeSession(parts, principal, { ...bareSpec, alias: ref }, idIfNew)
    : { session: found, isNew: false };
}
