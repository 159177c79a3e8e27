// What the scripted fleet and those who measure it agree on; importing it starts nothing.

export const scriptedToken = 'scripted-fleet-token';

export type ScriptedFleetJob = { readonly dataDir: string; readonly slots: number };
export type ScriptedFleetReady = { readonly url: string; readonly directUrl: string };

/** `eventsPerTick` events to each session, a tick every `tickMs`, `ticks` times. */
export type AppendJob = {
  readonly sessionIds: readonly string[];
  readonly ticks: number;
  readonly tickMs: number;
  readonly eventsPerTick: number;
  readonly textBytes: number;
};
