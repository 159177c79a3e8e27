// The numbers of the rules that another fleet may want otherwise. Change them here, then run
// `node tools/generate-monitoring.ts`.

import { prices } from '../../src/deploy/prices.ts';

export const settings = {
  /** Of a hundred thousand accepted turns, so many may be lost by us: 99.9 %. */
  turnsObjective: 0.999,
  /** So many losses in a window are needed before anybody is called: one in a quiet hour is a ratio, not a trend. */
  fewestLostTurns: 3,
  /** Of a hundred handovers and answers, so many are faster than the bound. */
  overheadObjective: 0.99,
  /** One of the bounds of codex_fleet_gateway_overhead_seconds. */
  overheadSeconds: 0.05,
  fewestSlowRequests: 20,
  queueWaitP95Seconds: 30,
  oldestWaitSeconds: 120,
  unheldSeconds: 60,
  busyRatio: 0.9,
  storeFailureRatio: 0.05,
  storeDoorFailureRatio: 0.02,
  modelFailureRatio: 0.2,
  serverErrorRatio: 0.02,
  deliveryLagP95Seconds: 60,
  jobsDue: 500,
  eventLoopLagSeconds: 0.5,
  /** What models may cost in an hour, all tenants together. */
  budgetUsdPerHour: 50,
  /** Of the model that most turns use: tokens are counted, prices are not known to the fleet. */
  usdPerMillionInput: prices.inputTokens.dollars,
  usdPerMillionCachedInput: prices.cachedInputTokens.dollars,
  usdPerMillionOutput: prices.outputTokens.dollars,
  tokensPerHour: 20_000_000,
  /** Before the anchor of an alert: where the runbooks are for those who are called at night. */
  runbooks: 'docs/operate/runbooks.md',
} as const;

export type MonitoringSettings = {
  readonly [K in keyof typeof settings]: (typeof settings)[K] extends number ? number : string;
};
