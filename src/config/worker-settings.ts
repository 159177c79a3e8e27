// The settings of a worker: its slots, and when it replaces or ends what runs on them.

import { z } from 'zod';
import { aliasPattern } from '../core/ids.ts';
import { setting } from './setting.ts';
import { bytes, count, durationMs, GiB, hour, longestTimerMs, MiB, minute, port, second } from './setting-kinds.ts';

export const worker = z.strictObject({
  id: setting('text', z.string().regex(aliasPattern).optional(), {
    envAliases: ['WORKER_ID'],
    doc: 'The name of this worker, unique in the fleet.',
    defaultDoc: 'the host name',
  }),
  host: setting('text', z.string().min(1).default('127.0.0.1'), {
    flag: '--worker-host',
    doc: 'The address that a worker of its own listens on.',
  }),
  port: port(7000, { flag: '--worker-port', doc: 'The port that a worker of its own listens on; 0 picks a free one.' }),
  slots: setting('number', z.int().min(1).max(256).optional(), {
    flag: '--slots',
    doc: 'The most Codex processes at once.',
    defaultDoc: 'two for each core and one for each GiB of memory, whichever is less, from 2 to 8',
  }),
  warmSlots: setting('number', z.int().min(0).max(256).optional(), {
    flag: '--warm-slots',
    doc: 'How many Codex processes are kept started and idle.',
    defaultDoc: '2, or `worker.slots` if that is less',
  }),
  queueLimit: count(0, 1_000_000, 1000, { doc: 'The most turns that may wait for a slot.' }),
  hibernateAfterMs: durationMs(0, longestTimerMs, 5 * minute, {
    doc: 'How long an idle session keeps its slot.',
  }),
  heartbeatLimitMs: durationMs(2 * second, 10 * minute, 10 * second, {
    doc: 'How long a cage outlives the last sign of life of its worker.',
  }),
  recycleTurns: count(1, 1_000_000, 500, { doc: 'A Codex process is replaced after so many turns.' }),
  recycleAgeMs: durationMs(minute, longestTimerMs, 2 * hour, { doc: 'A Codex process is replaced at this age.' }),
  recycleRssBytes: bytes(100 * MiB, 1024 * GiB, 600 * 1_000_000, {
    doc: 'A Codex process is replaced when it holds this much memory.',
  }),
  sessionMemoryBytes: setting(
    'number',
    z
      .int()
      .min(0)
      .max(1024 * GiB)
      .optional(),
    {
      doc: 'The most memory that the commands of a session may hold together; beyond it the largest is ended, and the turn goes on. 0 does not watch it.',
      defaultDoc:
        "in a container its limit, less 512 MiB for the worker and 128 MiB for each Codex process, shared by `worker.slots`; elsewhere half of the machine's memory; at least 256 MiB",
    },
    'bytes',
  ),
  recycleOpenFiles: count(64, 1_000_000, 512, { doc: 'A Codex process is replaced when it holds so many files open.' }),
  silenceMs: durationMs(second, hour, minute, {
    doc: 'After so long without a word from Codex in mid-turn, it is asked how the turn stands.',
  }),
});
