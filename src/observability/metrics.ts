// Every metric of a server, in one object with a registry of its own. Labels come from the closed
// lists here: never ids, never messages.

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type PlacementReason, placementReasons } from '../core/placement.ts';
import { terminalStatuses } from '../core/turn.ts';
import type { Usage } from '../core/usage.ts';
import { operatingMetrics, type OperatingMetrics, type ProcessFacts } from './operating-metrics.ts';
import { type StoreDoorMetrics, storeDoorMetrics } from './store-door-metrics.ts';
import { turnUsageCounters } from './turn-usage-counters.ts';
import { describeRegistry, labelledCounter, labelledGauge, labelledHistogram } from './metric-kinds.ts';
import type { LabelledCounter, LabelledGauge, LabelledHistogram, MetricDescription } from './metric-kinds.ts';

export const routeLabels = [
  'exec',
  'ws',
  'sessions',
  'turns',
  'events',
  'items',
  'approvals',
  'jobs',
  'schedules',
  'webhooks',
  'commands',
  'files',
  'archive',
  'diff',
  'models',
  'workers',
  'usage',
  'health',
  'metrics',
  'tickets',
  'page',
  'worker',
  'model_proxy',
  'stores',
  'other',
] as const;
export type RouteLabel = (typeof routeLabels)[number];

export const statusClasses = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const;
export type StatusClass = (typeof statusClasses)[number];

export const slotStateLabels = ['starting', 'idle', 'bound', 'stopping'] as const;
export type SlotStateLabel = (typeof slotStateLabels)[number];

export const slotStartOutcomes = ['ready', 'failed', 'timed_out'] as const;
export type SlotStartOutcome = (typeof slotStartOutcomes)[number];

export const recycleReasons = [
  'age',
  'turns',
  'memory',
  'open_files',
  'hibernated',
  'preempted',
  'cancelled',
  'timed_out',
  'crashed',
  'unresponsive',
  'erased',
  'lost',
  'drain',
] as const;
export type RecycleReason = (typeof recycleReasons)[number];

export const commandKillReasons = ['memory', 'container_memory'] as const;
export type CommandKillReason = (typeof commandKillReasons)[number];

export const logAppendOutcomes = ['appended', 'stale_epoch', 'out_of_order', 'log_lost', 'failed'] as const;
export type LogAppendOutcome = (typeof logAppendOutcomes)[number];

export const modelRequestOutcomes = [
  'completed',
  'refused',
  'provider_error',
  'unreachable',
  'timed_out',
  'cut',
] as const;
export type ModelRequestOutcome = (typeof modelRequestOutcomes)[number];

export const modelTokenKinds = ['input', 'cached_input', 'output', 'reasoning_output'] as const;
export type ModelTokenKind = (typeof modelTokenKinds)[number];

export const streamKinds = ['sse', 'ws'] as const;
export type StreamKind = (typeof streamKinds)[number];

export const workerStateLabels = ['ready', 'draining', 'suspect', 'lost'] as const;
export type WorkerStateLabel = (typeof workerStateLabels)[number];

export const jobOutcomes = ['completed', 'failed', 'cancelled', 'retried'] as const;
export type JobOutcome = (typeof jobOutcomes)[number];

export const messageOutcomes = ['accepted', 'repeated', 'refused', 'put_back'] as const;
export type MessageOutcome = (typeof messageOutcomes)[number];

export const deliveryOutcomes = ['delivered', 'retried', 'failed'] as const;
export type DeliveryOutcome = (typeof deliveryOutcomes)[number];

export type Metrics = OperatingMetrics &
  StoreDoorMetrics & {
    /** HTTP requests and WebSocket frames that ask for a turn, when answered. */
    readonly requests: LabelledCounter<{ readonly route: RouteLabel; readonly status_class: StatusClass }>;
    readonly requestDurationSeconds: LabelledHistogram<{ readonly route: RouteLabel }>;
    readonly turns: LabelledCounter<{ readonly outcome: (typeof terminalStatuses)[number] }>;
    readonly turnDurationSeconds: Histogram;
    readonly queueWaitSeconds: Histogram;
    readonly timeToFirstEventSeconds: Histogram;
    readonly waitingTurns: Gauge;
    readonly slots: LabelledGauge<{ readonly state: SlotStateLabel }>;
    readonly slotStarts: LabelledCounter<{ readonly outcome: SlotStartOutcome }>;
    readonly slotStartSeconds: Histogram;
    readonly slotRecycles: LabelledCounter<{ readonly reason: RecycleReason }>;
    readonly commandsKilled: LabelledCounter<{ readonly reason: CommandKillReason }>;
    readonly placements: LabelledCounter<{ readonly reason: PlacementReason }>;
    readonly logAppends: LabelledCounter<{ readonly outcome: LogAppendOutcome }>;
    readonly modelRequests: LabelledCounter<{ readonly outcome: ModelRequestOutcome }>;
    readonly modelTokens: LabelledCounter<{ readonly kind: ModelTokenKind }>;
    /** Adds what an ended turn consumed, by its model. */
    countTurnUsage(model: string, usage: Usage): void;
    /** From the making of an event to its handing on to a stream that was open then. */
    readonly streamLagSeconds: Histogram;
    readonly streams: LabelledGauge<{ readonly kind: StreamKind }>;
    /** Streams ended because their reader was too slow; each could be resumed. */
    readonly streamsCut: Counter;
    /** 1 for the session manager that leads, 0 for a standby. */
    readonly leader: Gauge;
    /** By this session manager. */
    readonly sessionsRecovered: Counter;
    /** As this session manager knows them. */
    readonly workers: LabelledGauge<{ readonly state: WorkerStateLabel }>;
    /** Attempts of jobs that ended here, by what became of the job. */
    readonly jobAttempts: LabelledCounter<{ readonly outcome: JobOutcome }>;
    /** As the leading session manager knows them. */
    readonly jobsDue: Gauge;
    readonly jobsRunning: Gauge;
    readonly jobWaitSeconds: Histogram;
    readonly messages: LabelledCounter<{ readonly outcome: MessageOutcome }>;
    /** Attempts of deliveries to webhooks and to the topic. */
    readonly deliveries: LabelledCounter<{ readonly outcome: DeliveryOutcome }>;
    readonly deliveriesDue: Gauge;
    /** From what happened to its arrival. */
    readonly deliveryLagSeconds: Histogram;
    render(): Promise<RenderedMetrics>;
    /** Names, help and labels, for the reference page. */
    describe(): readonly MetricDescription[];
  };

export type RenderedMetrics = { readonly contentType: string; readonly body: string };

export type MetricsOptions = {
  /** Node's own (memory, CPU, event loop). They install observers for the life of the process: for composition roots. */
  readonly processMetrics?: boolean;
  /** What is said of this process. Default: nothing. */
  readonly process?: ProcessFacts;
};

const requestBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600] as const;
const waitBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300] as const;
const turnBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600] as const;

export function statusClassOf(status: number): StatusClass {
  return statusClasses[Math.floor(status / 100) - 1] ?? '5xx';
}

export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (options.processMetrics === true) collectDefaultMetrics({ register: registry });

  const plainHistogram = (name: string, help: string, buckets: readonly number[]): Histogram =>
    new Histogram({ name, help, buckets: [...buckets], registers });

  return {
    requests: labelledCounter(
      registry,
      { name: 'codex_requests_total', help: 'Requests answered, by route and class of status.' },
      { route: routeLabels, status_class: statusClasses },
    ),
    requestDurationSeconds: labelledHistogram(
      registry,
      {
        name: 'codex_request_duration_seconds',
        help: 'From the arrival of a request to the end of its answer; for a stream, to its end.',
        buckets: requestBuckets,
      },
      { route: routeLabels },
    ),
    turns: labelledCounter(
      registry,
      { name: 'codex_fleet_turns_total', help: 'Turns that ended, by how they ended.' },
      { outcome: terminalStatuses },
    ),
    turnDurationSeconds: plainHistogram(
      'codex_fleet_turn_duration_seconds',
      'How long turns ran; the wait for a slot is not in it.',
      turnBuckets,
    ),
    queueWaitSeconds: plainHistogram(
      'codex_fleet_queue_wait_seconds',
      'How long turns waited for a slot before they ran.',
      waitBuckets,
    ),
    timeToFirstEventSeconds: plainHistogram(
      'codex_fleet_time_to_first_event_seconds',
      'From accepting a turn to the first thing that the agent did or said.',
      waitBuckets,
    ),
    waitingTurns: new Gauge({ name: 'codex_fleet_waiting_turns', help: 'Turns that wait for a slot now.', registers }),
    slots: labelledGauge(
      registry,
      { name: 'codex_fleet_slots', help: 'Codex processes of this worker now, by state.' },
      { state: slotStateLabels },
    ),
    slotStarts: labelledCounter(
      registry,
      { name: 'codex_fleet_slot_starts_total', help: 'Codex processes started, by outcome.' },
      { outcome: slotStartOutcomes },
    ),
    slotStartSeconds: plainHistogram(
      'codex_fleet_slot_start_seconds',
      'From spawning a Codex process to its answer to initialize.',
      waitBuckets,
    ),
    slotRecycles: labelledCounter(
      registry,
      { name: 'codex_fleet_slot_recycles_total', help: 'Codex processes ended and replaced, by reason.' },
      { reason: recycleReasons },
    ),
    commandsKilled: labelledCounter(
      registry,
      {
        name: 'codex_fleet_commands_killed_total',
        help: "Commands ended for the memory they held: beyond their session's limit, or with the container's used up.",
      },
      { reason: commandKillReasons },
    ),
    placements: labelledCounter(
      registry,
      {
        name: 'codex_fleet_placements_total',
        help: 'Choices of a worker for a session, by why it was chosen or none was.',
      },
      { reason: placementReasons },
    ),
    logAppends: labelledCounter(
      registry,
      { name: 'codex_fleet_log_appends_total', help: 'Batches of events offered to the event log, by outcome.' },
      { outcome: logAppendOutcomes },
    ),
    modelRequests: labelledCounter(
      registry,
      { name: 'codex_fleet_model_requests_total', help: 'Calls of the model that the proxy handled, by outcome.' },
      { outcome: modelRequestOutcomes },
    ),
    modelTokens: labelledCounter(
      registry,
      { name: 'codex_fleet_model_tokens_total', help: 'Tokens as counted by the model provider, by kind.' },
      { kind: modelTokenKinds },
    ),
    countTurnUsage: turnUsageCounters(registry),
    streamLagSeconds: plainHistogram(
      'codex_fleet_stream_lag_seconds',
      'From the making of an event to its handing on to an open stream; what is replayed is not in it.',
      requestBuckets,
    ),
    streams: labelledGauge(
      registry,
      { name: 'codex_fleet_streams', help: 'Event streams open to clients now, by kind.' },
      { kind: streamKinds },
    ),
    streamsCut: new Counter({
      name: 'codex_fleet_streams_cut_total',
      help: 'Event streams ended by us because the reader was too slow.',
      registers,
    }),
    leader: new Gauge({
      name: 'codex_fleet_leader',
      help: '1 for the session manager that leads, 0 for a standby.',
      registers,
    }),
    sessionsRecovered: new Counter({
      name: 'codex_fleet_sessions_recovered_total',
      help: 'Sessions that this session manager handed to a worker because nobody had them any more.',
      registers,
    }),
    workers: labelledGauge(
      registry,
      {
        name: 'codex_fleet_workers',
        help: 'Workers that a session manager knows now, by state; lost: in the last minute.',
      },
      { state: workerStateLabels },
    ),
    jobAttempts: labelledCounter(
      registry,
      { name: 'codex_fleet_job_attempts_total', help: 'Attempts of jobs that ended, by what became of the job.' },
      { outcome: jobOutcomes },
    ),
    jobsDue: new Gauge({
      name: 'codex_fleet_jobs_due',
      help: 'Jobs that are due and wait for their share.',
      registers,
    }),
    jobsRunning: new Gauge({ name: 'codex_fleet_jobs_running', help: 'Jobs whose turn was started.', registers }),
    jobWaitSeconds: plainHistogram(
      'codex_fleet_job_wait_seconds',
      'How long due attempts of jobs waited before their turn was started.',
      waitBuckets,
    ),
    messages: labelledCounter(
      registry,
      { name: 'codex_fleet_messages_total', help: 'Pub/Sub messages read, by what became of them.' },
      { outcome: messageOutcomes },
    ),
    deliveries: labelledCounter(
      registry,
      { name: 'codex_fleet_deliveries_total', help: 'Attempts to deliver to webhooks and topics, by outcome.' },
      { outcome: deliveryOutcomes },
    ),
    deliveriesDue: new Gauge({
      name: 'codex_fleet_deliveries_due',
      help: 'Deliveries that are due and wait for their turn.',
      registers,
    }),
    deliveryLagSeconds: plainHistogram(
      'codex_fleet_delivery_lag_seconds',
      'From what happened to its arrival at a receiver.',
      waitBuckets,
    ),
    ...storeDoorMetrics(registry),
    ...operatingMetrics(registry, options.process ?? null),
    describe: () => describeRegistry(registry),
    render: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  };
}
