// The benchmarks, in the order in which they run and are reported.

import type { Benchmark } from '../harness/benchmark.ts';
import { commitCost } from './commit-cost.ts';
import { execWarm } from './exec-warm.ts';
import { failover } from './failover.ts';
import { firstEvent } from './first-event.ts';
import { gatewayCore } from './gateway-core.ts';
import { googleExec } from './google-exec.ts';
import { googleOperations } from './google-operations.ts';
import { idleSockets } from './idle-sockets.ts';
import { redisPerTurn } from './redis-use.ts';
import { sessionMemory } from './session-memory.ts';
import { storedSessions } from './stored-sessions.ts';
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
  failover,
  gatewayCore,
  redisPerTurn,
  googleExec,
  googleOperations,
  storedSessions,
  // The last: it leaves the disk work to do.
  commitCost,
];
