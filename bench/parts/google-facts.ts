// What the parts on Google's services and those who measure them agree on; importing it starts nothing.

export type CloudStorageJob = { readonly bucket: string; readonly dir: string };
export type CloudStorageReady = { readonly url: string };
export type HeldObjects = { readonly objects: number; readonly bytes: number };

/** The roles that store; the model proxy does not. */
export type StoringRole = 'worker' | 'session-manager' | 'gateway';

export type CountedRolesJob = { readonly dataDir: string; readonly slots: number };
export type CountedRolesReady = { readonly url: string; readonly token: string };

/**
 * What was asked since the start, by name: `worker writes turns` for documents of a collection, `worker class_a` for
 * calls of Cloud Storage, `session-manager query turns.openAt` for queries by what they look for.
 */
export type Counts = Readonly<Record<string, number>>;
