// The two promises that are watched as a budget: accepted turns are not lost, and what we add to a request is little.
// Each is recorded as the share of bad ones over several windows, and alerts on how fast the budget burns.

import type { AlertRule, RecordingRule, RuleGroup, Severity } from './rule.ts';
import type { MonitoringSettings } from './settings.ts';

export type Objective = {
  /** In the names of its rules. */
  readonly name: string;
  readonly alert: string;
  readonly objective: number;
  /** Share of bad ones over a window. */
  readonly badRatio: (window: string) => string;
  /** Bad ones in a window, and how many make an alert. */
  readonly badCount: (window: string) => string;
  readonly fewestBad: number;
  readonly summary: string;
  readonly cost: string;
};

type Burn = {
  readonly suffix: 'Fast' | 'Steady' | 'Slow';
  readonly severity: Severity;
  /** So many times as fast as the budget of 30 days lasts. */
  readonly factor: number;
  readonly long: string;
  /** It stops soon after what caused it does. */
  readonly short: string;
  readonly holds: string;
};

// 2 % of the budget in an hour, 5 % in six, 10 % in three days: the windows of Google's SRE workbook.
const burns: readonly Burn[] = [
  { suffix: 'Fast', severity: 'page', factor: 14.4, long: '1h', short: '5m', holds: '2m' },
  { suffix: 'Steady', severity: 'page', factor: 6, long: '6h', short: '30m', holds: '5m' },
  { suffix: 'Slow', severity: 'ticket', factor: 1, long: '3d', short: '6h', holds: '1h' },
];

/** Against us: nobody asked for these ends, and no other turn goes on with what was lost. */
const lostReasons = 'worker_lost|drain|crash|storage|queue_timeout';

export function objectivesOf(settings: MonitoringSettings): readonly Objective[] {
  const ends = 'codex_fleet_turn_ends_total{goes_on="no"}';
  const lost = `codex_fleet_turn_ends_total{goes_on="no",reason=~"${lostReasons}"}`;
  const overhead = 'codex_fleet_gateway_overhead_seconds';
  const within = `${overhead}_bucket{le="${settings.overheadSeconds}"}`;
  return [
    {
      name: 'turn_loss',
      alert: 'CodexFleetTurnsLost',
      objective: settings.turnsObjective,
      badRatio: (window) => `sum(rate(${lost}[${window}])) / sum(rate(${ends}[${window}]))`,
      badCount: (window) => `sum(increase(${lost}[${window}]))`,
      fewestBad: settings.fewestLostTurns,
      summary: 'Turns that were accepted are being lost',
      cost: 'Users get an interrupted or failed turn that they did not cause, and have to ask again.',
    },
    {
      name: 'overhead_slow',
      alert: 'CodexFleetOverheadHigh',
      objective: settings.overheadObjective,
      badRatio: (window) => `1 - sum(rate(${within}[${window}])) / sum(rate(${overhead}_count[${window}]))`,
      badCount: (window) => `sum(increase(${overhead}_count[${window}])) - sum(increase(${within}[${window}]))`,
      fewestBad: settings.fewestSlowRequests,
      summary: `The fleet adds more than ${settings.overheadSeconds * 1000} ms to too many requests`,
      cost: 'Turns start and answers arrive noticeably later than the agent itself needs.',
    },
  ];
}

export function recordNameOf({ name }: Pick<Objective, 'name'>, window: string): string {
  return `codex_fleet:${name}:ratio_rate${window}`;
}

export function objectiveGroups(settings: MonitoringSettings): readonly RuleGroup[] {
  return objectivesOf(settings).map((objective) => ({
    name: `codex-fleet-${objective.name.replace('_', '-')}`,
    intervalSeconds: 30,
    rules: [...recordings(objective), ...burns.map((burn) => burnAlert(objective, burn))],
  }));
}

function recordings(objective: Objective): RecordingRule[] {
  const windows = new Set(burns.flatMap(({ long, short }) => [short, long]));
  return [...windows].map((window) => ({
    record: recordNameOf(objective, window),
    expr: objective.badRatio(window),
  }));
}

function burnAlert(objective: Objective, burn: Burn): AlertRule {
  const bound = `(${burn.factor} * ${roundedShare(1 - objective.objective)})`;
  const isBurning = (window: string): string => `${recordNameOf(objective, window)} > ${bound}`;
  return {
    alert: `${objective.alert}${burn.suffix}`,
    severity: burn.severity,
    holds: burn.holds,
    expr: `${isBurning(burn.long)} and ${isBurning(burn.short)} and ${objective.badCount(burn.long)} >= ${objective.fewestBad}`,
    summary: `${objective.summary}: the budget of 30 days burns ${burn.factor} times too fast`,
    cost: objective.cost,
  };
}

/** 1 - 0.999 is not 0.001 to a computer. */
function roundedShare(share: number): number {
  return Number(share.toPrecision(6));
}
