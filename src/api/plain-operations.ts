// What the gateway answers beside the API's operations: probes, pages, the description itself and the
// door for WebSockets. Registered where they live; here for the OpenAPI document.

import * as z from 'zod';
import { operation } from './operation.ts';

const statusSchema = z.object({ status: z.literal('ok') });
const page = (description: string) => ({ 200: { description, contentType: 'text/html', schema: z.string() } });

export const plainOperations = {
  home: operation('GET', '/', {
    id: 'home',
    summary: 'A page for people who open the address in a browser.',
    route: 'page',
    isOpen: true,
    answers: page('The page.'),
  }),
  docs: operation('GET', '/docs', {
    id: 'docs',
    summary: 'This description as a page.',
    route: 'page',
    isOpen: true,
    answers: page('The page; it needs nothing from anywhere else.'),
  }),
  openapi: operation('GET', '/openapi.json', {
    id: 'openapi',
    summary: 'This description, as OpenAPI 3.1.',
    route: 'page',
    isOpen: true,
    answers: { 200: { description: 'The document.', schema: z.looseObject({ openapi: z.string() }) } },
  }),
  livez: operation('GET', '/livez', {
    id: 'livez',
    summary: 'Whether the process lives.',
    route: 'health',
    isOpen: true,
    answers: { 200: { description: 'It does.', schema: statusSchema } },
  }),
  readyz: operation('GET', '/readyz', {
    id: 'readyz',
    summary: 'Whether new work may be sent here.',
    route: 'health',
    isOpen: true,
    answers: { 200: { description: 'It may.', schema: statusSchema } },
    errors: ['draining', 'no_worker_ready'],
  }),
  readyzGateway: operation('GET', '/readyz/gateway', {
    id: 'readyzGateway',
    summary: 'Whether this gateway can answer, with or without workers: for who chooses among gateways.',
    route: 'health',
    isOpen: true,
    answers: { 200: { description: 'It can.', schema: statusSchema } },
    errors: ['draining', 'store_unavailable'],
  }),
  metrics: operation('GET', '/metrics', {
    id: 'metrics',
    summary: 'Numbers for Prometheus; see docs/reference/metrics.md.',
    route: 'metrics',
    answers: { 200: { description: 'The text format 0.0.4.', contentType: 'text/plain', schema: z.string() } },
  }),
} as const;

/** Those that answer HEAD as well. */
export const headPaths: readonly string[] = ['/', '/livez', '/readyz', '/readyz/gateway'];

export const webSocketPath = '/ws';
