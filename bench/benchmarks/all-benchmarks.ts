// The benchmarks, in the order in which they run and are reported.

import type { Benchmark } from '../harness/benchmark.ts';
import { commitCost } from './commit-cost.ts';
import { execWarm } from './exec-warm.ts';
import { firstEvent } from './first-event.ts';
import { idleSockets } from './idle-sockets.ts';
import { sessionMemory } from './session-memory.ts';
import { streamCpu } from './stream-cpu.ts';
import { streamRate } from './stream-rate.ts';
import { turnAccepted } from './turn-accepted.ts';
import { waking } from './waking.ts';

export const benchmarks: readonly Benchmark[] = [
  execWarm,
  turnAccepted,
  firstEvent,
  waking,
  streamRate,
  streamCpu,
  idleSockets,
  sessionMemory,
  // The last: it leaves the disk work to do.
  commitCost,
];
