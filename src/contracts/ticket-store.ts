// Tickets that wait to be used: each admits its holder once, at any gateway. Only hashes come here.

import type { TenantId } from '../core/ids.ts';

export type TicketHolder = { readonly tenant: TenantId; readonly name: string };

export type TicketLimits = { readonly ttlMs: number; readonly perTenant: number };

export interface TicketStore {
  /** Kept for `ttlMs`. Beyond `perTenant` unused ones the tenant's oldest give way: about so many, when several are put at once. */
  put(hash: string, holder: TicketHolder, limits: TicketLimits): Promise<void>;
  /** Who it was made for, to exactly one caller; null when it is unknown, used or too old. */
  take(hash: string): Promise<TicketHolder | null>;
}
