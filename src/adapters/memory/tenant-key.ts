// Keys of the memory adapters' maps: tenant and id in one string that no other pair can make.

import type { TenantId } from '../../core/ids.ts';

export function tenantKey(tenant: TenantId, id: string): string {
  return `${tenant.length}:${tenant}${id}`;
}
