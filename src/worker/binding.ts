// The time during which a slot serves a session: its files are in the slot, its credential is valid,
// its thread is loaded. Ends with the cage; a binding is never passed on.

import path from 'node:path';
import { buildThreadResume } from '../protocol/policy.ts';
import type { GrantId, ModelGrants } from '../contracts/model-grants.ts';
import type { SessionRecord } from '../core/session.ts';
import type { Logger } from '../observability/logger.ts';
import type { SessionFiles } from './session-files.ts';
import type { AgentListener, Slot, SlotEndReason } from './slot.ts';
import type { SlotPool } from './slot-pool.ts';
import type { AgentProcess } from '../codex/agent-process.ts';

export type BindingParts = {
  readonly pool: SlotPool;
  readonly files: SessionFiles;
  readonly grants: ModelGrants;
  readonly logger: Logger;
};

export type Binding = {
  readonly slot: Slot;
  readonly agent: AgentProcess;
  readonly grantId: GrantId;
  /** Ends the cage, keeps the session's files, revokes the credential. Idempotent. */
  readonly end: (reason: SlotEndReason) => Promise<void>;
};

/** Binds an acquired slot, or retires it and rejects. */
export async function bindSession(
  parts: BindingParts,
  session: SessionRecord,
  /** The model of the turn to come: another one at turn/start would tell the agent of a switch. */
  model: string,
  slot: Slot,
  listener: AgentListener,
): Promise<Binding> {
  if (slot.state.name !== 'bound') throw new Error(`slot ${slot.id} was not acquired`);
  const { agent } = slot.state;
  const key = { tenant: session.tenant, sessionId: session.id };
  const places = { ws: path.join(slot.dir, 'ws'), home: path.join(slot.dir, 'home') };
  let filesAreInSlot = false;
  let grantId: GrantId | null = null;
  let ending: Promise<void> | null = null;

  const end = async (reason: SlotEndReason): Promise<void> => {
    const takeOut = async (): Promise<void> => {
      if (!filesAreInSlot) return;
      if (reason === 'erased') await parts.files.erase(key);
      else await parts.files.moveOut(key, places);
    };
    const revoked = grantId === null ? null : parts.grants.revoke(grantId);
    revoked?.catch((error: unknown) => parts.logger.warn({ event: 'grant_not_revoked', err: error }, 'a credential could not be revoked'));
    await parts.pool.retire(slot, reason, takeOut);
  };
  const endOnce = (reason: SlotEndReason): Promise<void> => (ending ??= end(reason));

  try {
    slot.listener = listener;
    const [grant] = await Promise.all([
      parts.grants.issue({ ...key, epoch: session.epoch, models: session.model === null ? [] : [session.model] }),
      parts.files.moveIn(key, places).then(() => {
        filesAreInSlot = true;
      }),
    ]);
    grantId = grant.id;
    await agent.calls.threadResume(
      buildThreadResume({
        sessionId: session.id,
        credential: grant.credential,
        instructions: session.policy.instructions,
        workspacePath: agent.paths.ws,
        model,
      }),
    );
    return { slot, agent, grantId: grant.id, end: endOnce };
  } catch (error) {
    await endOnce('crashed');
    throw error;
  }
}
