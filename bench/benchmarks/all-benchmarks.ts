// The benchmarks, in the order in which they run and are reported.

import type { Benchmark } from '../harness/benchmark.ts';
import { execWarm } from './exec-warm.ts';

export const benchmarks: readonly Benchmark[] = [execWarm];
