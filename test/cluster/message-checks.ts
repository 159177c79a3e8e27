// What must be true of messages that were to become jobs, whoever was killed meanwhile: pure functions on what was
// published, what the fleet says of its jobs, what the model was asked and what others were told. Each answers what
// is wrong, in words; nothing when all is well.

import type { JobResource } from '../../src/api/jobs.ts';
import { promptsAtMostOnce } from '../../src/testing/faults/history-checks.ts';
import type { OracleCall } from '../../src/testing/faults/oracle-model.ts';
import { type Received, subjectOf, toldInOrder, type ToBeTold } from '../e2e/webhook-receiver.ts';
import type { PublishedMessage } from './message-load.ts';
import type { ReadMessage } from './topic-reader.ts';

/** As the fleet has them, of one session. */
export type SessionTurns = ReadonlyMap<string, readonly { readonly id: string; readonly status: string }[]>;

/** All copies of a message together made one job, and nothing else made any; each is completed. */
export function eachMessageOneJob(published: readonly PublishedMessage[], jobs: readonly JobResource[]): string[] {
  const messageIds = new Map<string, string[]>();
  for (const { id, prompt } of published)
    if (prompt !== null) messageIds.set(prompt, [...(messageIds.get(prompt) ?? []), id]);
  const counts = new Map<string, number>();
  for (const { prompt } of jobs) counts.set(prompt, (counts.get(prompt) ?? 0) + 1);
  return [
    ...[...messageIds.keys()]
      .filter((prompt) => counts.get(prompt) !== 1)
      .map((prompt) => `${JSON.stringify(prompt)} is ${counts.get(prompt) ?? 0} jobs`),
    ...jobs.flatMap(({ error, id, prompt, request_id, source, status }) => {
      const ids = messageIds.get(prompt);
      if (ids === undefined) return [`nobody published job ${id}: ${JSON.stringify(prompt)}`];
      return [
        ...(status === 'completed' ? [] : [`job ${id} is ${status}: ${JSON.stringify(error)}`]),
        ...(source === 'pubsub' && ids.includes(request_id ?? '')
          ? []
          : [`job ${id} is of ${source} ${request_id}, not of a message that asked for it`]),
      ];
    }),
  ];
}

/**
 * Each attempt is one turn in a session of its own. All but the last were interrupted, by the death of a worker; the
 * model was asked in no more turns than there were attempts, and by the last one at least.
 */
export function ranOncePerAttempt(
  jobs: readonly JobResource[],
  turns: SessionTurns,
  calls: readonly OracleCall[],
): string[] {
  const asked = new Set(calls.map(({ prompt }) => prompt));
  const told = jobs.map(({ id, prompt, session_id }) => ({ turnId: id, prompt, sessionId: session_id ?? '' }));
  const more = new Map(jobs.map(({ attempt_count, prompt }) => [prompt, attempt_count - 1]));
  return [
    ...promptsAtMostOnce(calls, told, more),
    ...jobs.flatMap(({ attempt_count, attempts, id, prompt }) => [
      ...(asked.has(prompt) ? [] : [`job ${id} was completed, and the model was never asked`]),
      ...(attempts.length === attempt_count ? [] : [`job ${id} has ${attempts.length} attempts of ${attempt_count}`]),
      ...attempts.flatMap(({ error, session_id, status, turn_id }, index) => {
        const name = `attempt ${index + 1} of job ${id}`;
        const expected = index + 1 === attempts.length ? 'completed' : 'interrupted';
        const own = turns.get(session_id ?? '') ?? [];
        const ran = own.map((turn) => `${turn.id} ${turn.status}`).join(', ');
        return [
          ...(status === expected ? [] : [`${name} is ${status}: ${JSON.stringify(error)}`]),
          ...(ran === `${turn_id} ${status}` ? [] : [`${name} is ${turn_id} ${status}, its session had ${ran}`]),
        ];
      }),
    ]),
  ];
}

/** Every one that can never become a job is in the dead-letter topic, with its reason; nothing else is. */
export function onlyPoisonPutAside(
  published: readonly PublishedMessage[],
  deadLetters: readonly Pick<ReadMessage, 'attributes'>[],
): string[] {
  const reasons = new Map<string, string>();
  for (const { attributes } of deadLetters) {
    const id = attributes['CodexFleetDeadLetterSourceMessageId'] ?? 'that does not say which';
    reasons.set(id, attributes['CodexFleetDeadLetterReason'] ?? '');
  }
  const poison = new Map(published.flatMap(({ id, refusal }) => (refusal === null ? [] : [[id, refusal] as const])));
  return [
    ...[...poison].flatMap(([id, refusal]) => {
      const reason = reasons.get(id);
      if (reason === undefined) return [`message ${id} (${refusal}) was not put aside`];
      return reason.startsWith(refusal) ? [] : [`message ${id} was put aside for ${reason}, not for ${refusal}`];
    }),
    ...[...reasons]
      .filter(([id]) => !poison.has(id))
      .map(([id, reason]) => `message ${id} was put aside for ${reason}, and is no poison`),
  ];
}

/**
 * Of each job its attempts and its end, of each turn its end: at least once, in order, under one ordering key for
 * each; a repeat counts where it came first. And of no other job or turn.
 */
export function eachToldInOrder(jobs: readonly JobResource[], events: readonly ReadMessage[]): string[] {
  const toBeTold = toldOf(jobs);
  const seen = new Set<string>();
  const keys = new Map<string, string>();
  const problems: string[] = [];
  const told: Pick<Received, 'type' | 'data'>[] = [];
  for (const { attributes, body, orderingKey } of events) {
    const event = JSON.parse(body) as Pick<Received, 'type' | 'data'>;
    if (!/^(job|turn)\./.test(event.type)) continue;
    const id = attributes['ce-id'] ?? '';
    if (seen.has(id)) continue;
    seen.add(id);
    told.push(event);
    const subject = subjectOf(event);
    const key = keys.get(subject) ?? orderingKey;
    keys.set(subject, key);
    if (key !== orderingKey || key === '') problems.push(`${subject} is told under ${key} and ${orderingKey}`);
    if (!toBeTold.has(subject)) problems.push(`${event.type} was told of ${subject}, which is nobody's`);
    if (attributes['ce-type'] !== `codex.fleet.${event.type}`) problems.push(`${id} is of two types`);
  }
  return [...problems, ...toldInOrder(toBeTold, told)];
}

function toldOf(jobs: readonly JobResource[]): ToBeTold {
  return new Map(
    jobs.flatMap(({ attempts, id, status }): [string, string[]][] => [
      [id, attempts.flatMap((_, at) => ['job.started', at + 1 < attempts.length ? 'job.retrying' : `job.${status}`])],
      ...attempts.map((attempt): [string, string[]] => [attempt.turn_id, [`turn.${attempt.status}`]]),
    ]),
  );
}
