// A delivery in the form that leaves the fleet: one body for all receivers, and what a message on a topic says
// about itself, in the attributes of CloudEvents.

import type { OutgoingMessage } from '../../contracts/message-source.ts';
import { toTimestamp } from '../../core/clock.ts';
import type { DeliveryRecord } from '../../core/webhook.ts';

/** The same in all attempts, byte for byte. `data` is JSON already, and is not read again. */
export function bodyOf({ data, noticeAt, type }: Pick<DeliveryRecord, 'data' | 'noticeAt' | 'type'>): string {
  return `{"type":${JSON.stringify(type)},"timestamp":"${toTimestamp(noticeAt)}","data":${data}}`;
}

export function topicMessageOf(delivery: DeliveryRecord): OutgoingMessage {
  const { id, lane, noticeAt, target, tenant, type } = delivery;
  return {
    data: new TextEncoder().encode(bodyOf(delivery)),
    attributes: {
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-source': `/codex-fleet/tenants/${encodeURIComponent(tenant)}`,
      'ce-type': `codex.fleet.${type}`,
      'ce-time': toTimestamp(noticeAt),
      'ce-subject': lane.slice(target.id.length + 1),
      'content-type': 'application/json',
      tenant,
    },
    // Lanes of two tenants may have the same name: one that is held up must not hold up the other.
    orderingKey: `${tenant}/${lane}`,
  };
}
