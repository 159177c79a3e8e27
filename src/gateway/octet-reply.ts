// Answers of the gateway that are octets, within its limits and counted among its streams.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { sendOctets as send } from '../http/octet-reply.ts';
import type { Gear } from './gateway-parts.ts';

export function sendOctets(
  { clock, limits, logger, metrics }: Pick<Gear, 'clock' | 'limits' | 'logger' | 'metrics'>,
  request: FastifyRequest,
  reply: FastifyReply,
  status: number,
  headers: Readonly<Record<string, string | number>>,
  content: AsyncIterable<Uint8Array>,
): Promise<FastifyReply> {
  const onStall = (): void => metrics.streamsCut.inc();
  return send({ clock, logger, stallMs: limits.stallMs, onStall }, request, reply, status, headers, content);
}
