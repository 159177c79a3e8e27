// The time during which a slot serves a session: its files are in the slot, its credential is valid,
// its thread is loaded when a turn needs it. Ends with the cage; a binding is never passed on.

import path from 'node:path';
import { buildThreadResume } from '../protocol/policy.ts';
import type { GrantId, ModelGrants } from '../contracts/model-grants.ts';
import { isServiceError } from '../core/errors.ts';
import type { SessionRecord } from '../core/session.ts';
import type { Logger } from '../observability/logger.ts';
import { childrenOf } from '../codex/process-tree.ts';
import { FilesStuck, type RestMark, type SessionFiles, type SlotPaths } from './session-files.ts';
import { claimOf, type SlotClaim, type SlotClaims } from './slot-claims.ts';
import type { AgentListener, Slot, SlotEndReason } from './slot.ts';
import type { SlotPool } from './slot-pool.ts';
import type { AgentProcess } from '../codex/agent-process.ts';

export type BindingParts = {
  readonly pool: SlotPool;
  readonly files: SessionFiles;
  readonly claims: SlotClaims;
  readonly grants: ModelGrants;
  readonly logger: Logger;
};

export type BindRequest = {
  readonly session: SessionRecord;
  /** Acquired for this binding. */
  readonly slot: Slot;
  readonly listener: AgentListener;
  /** What is said of the session's files when they come out of the slot. */
  readonly restMark: () => RestMark;
  /** Ends a binding in the making: its cage ends with it. */
  readonly signal: AbortSignal;
};

export type Binding = {
  readonly slot: Slot;
  readonly agent: AgentProcess;
  readonly grantId: GrantId;
  readonly claim: SlotClaim;
  /** Where the session's files are in the slot. */
  readonly places: SlotPaths;
  /** A tool was used, and what it started may still be running when its turn is over. */
  readonly toolsUsed: () => void;
  readonly mayHaveCommands: () => boolean;
  /**
   * Loads the session's thread, once: with the first turn and not before it, so that what a command put
   * into the workspace (a repository with its AGENTS.md) is there when Codex reads it. `model` is the
   * turn's: another one at turn/start would tell the agent of a switch. The cage ends when it fails.
   */
  readonly load: (model: string, signal: AbortSignal) => Promise<void>;
  /** Resolves when the model proxy knows that the last turn has ended; the next one waits for it. */
  turnEnding: Promise<void>;
  /** Ends the cage, keeps the session's files, revokes the credential. Idempotent. */
  readonly end: (reason: SlotEndReason) => Promise<void>;
};

/** Binds an acquired slot, or retires it and rejects; the session's files rest where they were then. */
export async function bindSession(parts: BindingParts, request: BindRequest): Promise<Binding> {
  const { listener, restMark, session, signal, slot } = request;
  if (slot.state.name !== 'bound') throw new Error(`slot ${slot.id} was not acquired`);
  const { agent } = slot.state;
  const key = { tenant: session.tenant, sessionId: session.id };
  const places = { ws: path.join(slot.dir, 'ws'), home: path.join(slot.dir, 'home') };
  const claim = claimOf(session);
  let filesAreInSlot = false;
  let stuck: FilesStuck | null = null;
  let grantId: GrantId | null = null;
  let ending: Promise<void> | null = null;
  let hasUsedTools = false;

  const end = async (reason: SlotEndReason): Promise<void> => {
    // What it still says is about nothing that runs.
    slot.listener = null;
    const takeOut = async (): Promise<void> => {
      if (reason === 'erased') {
        // First: a claim that is left after a crash would bring the files back.
        await parts.claims.remove(slot.dir);
        await parts.files.erase(key);
      } else if (filesAreInSlot) await parts.files.moveOut(key, places, restMark());
      // The slot's directory is kept then: it holds what nothing else does.
      else if (stuck !== null) throw stuck;
      await parts.claims.remove(slot.dir);
    };
    const revoked = grantId === null ? null : parts.grants.revoke(grantId);
    revoked?.catch((error: unknown) =>
      parts.logger.warn({ event: 'grant_not_revoked', err: error }, 'a credential could not be revoked'),
    );
    await parts.pool.retire(slot, reason, takeOut);
  };
  const endOnce = (reason: SlotEndReason): Promise<void> => (ending ??= end(reason));
  // Whoever waits for the binding hears of a failure of its end.
  const abandon = (): void => void endOnce('cancelled').catch(() => undefined);

  const failed = async (error: unknown): Promise<never> => {
    await endOnce(isServiceError(error, 'agent_unresponsive') ? 'unresponsive' : 'crashed');
    throw error;
  };

  const loadThread = async (credential: string, model: string, signal: AbortSignal): Promise<void> => {
    signal.addEventListener('abort', abandon, { once: true });
    try {
      signal.throwIfAborted();
      await agent.calls.threadResume(
        buildThreadResume({
          sessionId: session.id,
          credential,
          instructions: session.policy.instructions,
          workspacePath: agent.paths.ws,
          model,
        }),
      );
      signal.throwIfAborted();
    } catch (error) {
      await failed(error);
    } finally {
      signal.removeEventListener('abort', abandon);
    }
  };

  try {
    slot.listener = listener;
    const { credential, id } = await bothOf(
      parts.grants
        // Any model: the session's is where a turn that names none begins, not the only one it may name.
        .issue({ ...key, epoch: session.epoch, models: [] })
        .then((issued) => {
          grantId = issued.id;
          return issued;
        }),
      parts.claims
        .write(slot.dir, claim)
        .then(() => parts.files.moveIn(key, places))
        .then(
          () => {
            filesAreInSlot = true;
          },
          (error: unknown) => {
            if (error instanceof FilesStuck) stuck = error;
            throw error;
          },
        ),
    );
    signal.throwIfAborted();
    let loading: Promise<void> | null = null;
    const load: Binding['load'] = (model, turnSignal) => (loading ??= loadThread(credential, model, turnSignal));
    return {
      slot,
      agent,
      grantId: id,
      claim,
      places,
      toolsUsed: () => {
        hasUsedTools = true;
      },
      mayHaveCommands: () => hasUsedTools && childrenOf(agent.agentPid() ?? 0).length > 0,
      load,
      turnEnding: Promise.resolve(),
      end: endOnce,
    };
  } catch (error) {
    return await failed(error);
  }
}

/** Waits for both also when one fails: what is half done cannot be undone safely. */
async function bothOf<T>(first: Promise<T>, second: Promise<void>): Promise<T> {
  await Promise.allSettled([first, second]);
  await second;
  return await first;
}
