// Gives a prompt to the turn that runs in a session, if one does. Under an Idempotency-Key it is given
// once: who asks again is shown the turn that has it, also when that has ended. Queues nothing.

import { maxSteerCharacters, maxSteers } from '../api/limits.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import { isTerminal, type TurnRecord } from '../core/turn.ts';
import { askWorker } from './ask-worker.ts';
import type { Gear } from './gateway-parts.ts';

type Parts = Pick<Gear, 'records' | 'worker' | 'clock' | 'limits'>;

export type SteerRequest = {
  readonly prompt: string;
  /** Of the steer; derived from the key where there is one. */
  readonly id: string;
  readonly isKeyed: boolean;
};

/** How far back a repeat finds what it gave, and a turn that runs is looked for behind those that wait. */
const mostLookedAt = 200;
const pageLimit = 20;
/** One turn ends and the next begins while we ask: then that one. */
const steerTries = 3;

/** The turn that has the prompt now; null when none runs that would take it. */
export async function steerSession(parts: Parts, key: SessionKey, request: SteerRequest): Promise<TurnRecord | null> {
  for (let tries = 0; tries < steerTries; tries += 1) {
    const { given, running } = await lookBack(parts, key, request.isKeyed ? request.id : null);
    if (given !== null) return withSamePrompt(given, request);
    if (running === null || !hasRoom(running, request.prompt)) return null;
    try {
      return await giveTo(parts, running, request);
    } catch (error) {
      if (!isServiceError(error, 'turn_not_running')) throw error;
    }
  }
  return null;
}

/** Gives it to that turn and no other. Rejects with `turn_not_running`. */
export async function steerTurn(parts: Parts, turn: TurnRecord, request: SteerRequest): Promise<TurnRecord> {
  if (hasSteer(turn, request.id)) return withSamePrompt(turn, request);
  if (turn.status === 'queued' || isTerminal(turn.status))
    throw new ServiceError('turn_not_running', { status: turn.status });
  if (!hasRoom(turn, request.prompt)) {
    throw new ServiceError(
      'turn_not_running',
      { status: turn.status, steers: turn.steers.length, limit: maxSteers },
      { message: 'The turn was given as much as a turn may be; start another.' },
    );
  }
  try {
    return await giveTo(parts, turn, request);
  } catch (error) {
    // It may have come to its end with the prompt in it: given by the same request before this one.
    const now = isServiceError(error, 'turn_not_running') ? await reread(parts, turn) : null;
    if (now === null || !hasSteer(now, request.id)) throw error;
    return withSamePrompt(now, request);
  }
}

async function giveTo(parts: Parts, turn: TurnRecord, request: SteerRequest): Promise<TurnRecord> {
  const key = { tenant: turn.tenant, sessionId: turn.sessionId, turnId: turn.id };
  await askWorker(parts, parts.worker.steerTurn(key, request.id, request.prompt), {
    code: 'worker_lost',
    message: 'The worker did not say in time whether the turn has the prompt.',
  });
  // Of two that gave something under one key at once, the worker took one.
  return withSamePrompt((await reread(parts, turn)) ?? turn, request);
}

/**
 * From the latest turn backwards, page by page: by the time an older turn is read, none that began to
 * run after it can still be unseen, so what was given to either is found.
 */
async function lookBack(
  { records }: Parts,
  { sessionId, tenant }: SessionKey,
  steerId: string | null,
): Promise<{ given: TurnRecord | null; running: TurnRecord | null }> {
  let running: TurnRecord | null = null;
  let after: string | null = null;
  for (let seen = 0; seen < mostLookedAt; seen += pageLimit) {
    const page = await records.turns.list(tenant, sessionId, { after, limit: pageLimit, order: 'desc' });
    const given = steerId === null ? undefined : page.data.find((turn) => hasSteer(turn, steerId));
    if (given !== undefined) return { given, running };
    running ??= page.data.find(({ status }) => status === 'running' || status === 'requires_action') ?? null;
    // Turns run in order: behind one that has run, none runs.
    const isFound = running !== null || page.data.some(({ startedAt }) => startedAt !== null);
    if (!page.hasMore || (isFound && steerId === null)) break;
    after = page.data.at(-1)?.id ?? null;
  }
  return { given: null, running };
}

function hasSteer({ steers }: TurnRecord, id: string): boolean {
  return steers.some((steer) => steer.id === id);
}

function withSamePrompt(turn: TurnRecord, { id, prompt }: SteerRequest): TurnRecord {
  const given = turn.steers.find((steer) => steer.id === id);
  if (given !== undefined && given.text !== prompt) throw new ServiceError('idempotency_key_reused');
  return turn;
}

function hasRoom({ steers }: TurnRecord, prompt: string): boolean {
  const characters = steers.reduce((sum, { text }) => sum + text.length, prompt.length);
  return steers.length < maxSteers && characters <= maxSteerCharacters;
}

function reread({ records }: Parts, turn: TurnRecord): Promise<TurnRecord | null> {
  return records.turns.get(turn.tenant, turn.id);
}
