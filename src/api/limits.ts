// The outer bounds of what our wire takes. A fleet may be configured to take less, never more.

/** Codex's own limit. */
export const maxPromptCodePoints = 1_048_576;
export const maxTimeoutMs = 24 * 60 * 60 * 1000;
/** Load balancers cut longer waits. */
export const maxWaitMs = 600_000;
export const maxInstructionsCodePoints = 65_536;
export const maxMetadataEntries = 64;
export const maxListLimit = 100;
export const defaultListLimit = 20;
/** Events are small: a page of them may be longer than a page of resources. */
export const maxEventPageLimit = 1000;
export const defaultEventPageLimit = 100;
/** As JSON. */
export const maxOutputSchemaCharacters = 64 * 1024;
export const maxOutputSchemaDepth = 32;
export const maxApprovalTimeoutMs = 7 * 24 * 60 * 60 * 1000;
export const maxSnapshotExcludes = 64;
/** Texts given to one turn while it runs, and their length together. */
export const maxSteers = 64;
export const maxSteerCharacters = 4 * 1024 * 1024;
/** Of one job, with the first. */
export const maxJobAttempts = 10;
export const maxRunAheadMs = 366 * 24 * 60 * 60 * 1000;
