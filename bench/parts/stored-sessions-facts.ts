// What is stored for the benchmark of many sessions, as its child and those who ask it agree.

export type StoreJob = { readonly dataDir: string; readonly sessions: number; readonly turnsEach: number };
export type Stored = { readonly tookMs: number; readonly databaseBytes: number; readonly openMs: number };

export type LogJob = { readonly redisUrl: string; readonly eventsEach: number };

/** Milliseconds of one pass of each kind over all that is stored. */
export type Passes = { readonly upkeepMs: number; readonly failoverMs: number; readonly dispatchMs: number };
