// The face that a worker has for the other roles of its fleet: every call of the worker's contracts over HTTP,
// for who shows the credential of this run. Knows the wire (api/worker-wire.ts), nothing of what the calls do.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { validate } from '../api/validation.ts';
import {
  type Answered,
  type Asked,
  bootHeader,
  bootPath,
  factsHeader,
  type JsonCall,
  jsonCalls,
  readCalls,
  type WireSchema,
  type WireValue,
  writeCalls,
} from '../api/worker-wire.ts';
import type { WorkerLink } from '../contracts/worker-link.ts';
import type { WorkspaceLink } from '../contracts/workspace-link.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import { bearerTokenOf } from '../http/bearer.ts';
import { octetsOf, type OctetLimits, useOctetBodies } from '../http/octet-body.ts';
import { sendOctets } from '../http/octet-reply.ts';
import type { Logger } from '../observability/logger.ts';

export type InternalFaceParts = {
  /** This run of the worker. */
  readonly boot: string;
  readonly fleetVersion: string;
  /** Of this run: `internalCredential(secret, 'worker', boot)`. */
  readonly credential: string;
  readonly worker: WorkerLink;
  readonly workspace: WorkspaceLink;
  /** Begins the worker's drain, and does not wait for its end. */
  readonly drain: () => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits?: Partial<InternalFaceLimits>;
};

export type InternalFaceLimits = {
  /** Of a body that is JSON: a steer is as long as a prompt may be. */
  readonly bodyBytes: number;
  readonly fileBytes: number;
  readonly archiveBytes: number;
  /** For an upload to bring its next piece, or a reader to take one. */
  readonly stallMs: number;
  readonly uploadMs: number;
};

const MiB = 1024 * 1024;

// Wider than the gateway's: what it lets through is not refused here.
const defaultLimits: InternalFaceLimits = {
  bodyBytes: 24 * MiB,
  fileBytes: 1024 * MiB,
  archiveBytes: 8 * 1024 * MiB,
  stallMs: 60_000,
  uploadMs: 2 * 60 * 60_000,
};

type Handlers = { readonly [C in JsonCall]: (asked: Asked<C>) => Promise<Answered<C>> };

/** For a server whose own routes have another credential: those ask for it only where a route is not `isOpen`. */
export function registerInternalFace(app: FastifyInstance, parts: InternalFaceParts): void {
  const limits = { ...defaultLimits, ...parts.limits };
  app.get(bootPath, { config: { isOpen: true, route: 'worker' } }, async (_request, reply) =>
    reply.code(204).header(bootHeader, parts.boot).send(),
  );
  void app.register(async (inner) => {
    guard(inner, parts);
    registerJsonCalls(inner, parts, limits);
    registerReads(inner, parts, limits);
    // An instance of its own: nowhere else are bodies taken that are not JSON.
    void inner.register(async (uploads) => {
      useOctetBodies(uploads);
      registerWrites(uploads, parts, limits);
    });
  });
}

/** Before the body is read. Whoever means an earlier run is told so, and need not show what it cannot know. */
function guard(app: FastifyInstance, { boot, credential }: InternalFaceParts): void {
  const expected = hashOf(credential);
  app.addHook('onRequest', async ({ headers }, reply) => {
    reply.header(bootHeader, boot);
    const meant = headers[bootHeader];
    if (meant !== undefined && meant !== boot) throw new ServiceError('worker_unreachable', { boot });
    const shown = bearerTokenOf(headers.authorization);
    if (shown === null || !timingSafeEqual(hashOf(shown), expected)) throw new ServiceError('unauthenticated');
  });
}

function registerJsonCalls(app: FastifyInstance, parts: InternalFaceParts, { bodyBytes }: InternalFaceLimits): void {
  const handlers = handlersOf(parts);
  const register = <C extends JsonCall>(call: C): void => {
    const asked: WireSchema = jsonCalls[call].asked;
    app.post(jsonCalls[call].path, { config: { isOpen: true, route: 'worker' }, bodyLimit: bodyBytes }, (request) =>
      handlers[call](validate(asked, request.body, 'body') as Asked<C>),
    );
  };
  for (const call of Object.keys(jsonCalls) as JsonCall[]) register(call);
}

function handlersOf({ drain, fleetVersion, worker, workspace }: InternalFaceParts): Handlers {
  return {
    startTurn: ({ key, onlyIfIdle }) => worker.startTurn(key, { onlyIfIdle }).then(toNothing),
    cancelTurn: ({ key }) => worker.cancelTurn(key).then(toNothing),
    steerTurn: ({ key, steerId, text }) => worker.steerTurn(key, steerId, text).then(toNothing),
    approvalSettled: ({ key, approvalId }) => worker.approvalSettled(key, approvalId).then(toNothing),
    hibernateSession: ({ key }) => worker.hibernateSession(key).then(toNothing),
    wakeSession: ({ key }) => worker.wakeSession(key).then(toNothing),
    recoverSession: ({ key }) => worker.recoverSession(key).then(toNothing),
    runCommand: (asked) => worker.runCommand(asked),
    eraseSession: ({ key }) => worker.eraseSession(key).then(toNothing),
    listFiles: async ({ key, query }) => {
      const { data, hasMore } = await workspace.listFiles(key, query);
      return { data: [...data], hasMore };
    },
    deleteFile: ({ key, path, ifMatch }) => workspace.deleteFile(key, path, ifMatch).then(toNothing),
    diff: async ({ key, base }) => ({ data: [...(await workspace.diff(key, base))] }),
    status: async () => {
      const status = await worker.status();
      const { reservedFor = null } = status;
      return { ...status, reservedFor, boundSessions: [...(status.boundSessions ?? [])], fleetVersion };
    },
    drain: async () => {
      drain();
      return {};
    },
  };
}

function registerReads(app: FastifyInstance, parts: InternalFaceParts, limits: InternalFaceLimits): void {
  const { clock, logger, workspace } = parts;
  const options = { config: { isOpen: true, route: 'worker' }, bodyLimit: limits.bodyBytes } as const;
  const send = (
    request: FastifyRequest,
    reply: FastifyReply,
    facts: object,
    content: AsyncIterable<Uint8Array>,
  ): Promise<FastifyReply> => {
    const headers = { 'content-type': 'application/octet-stream', [factsHeader]: encodeFacts(facts) };
    const onStall = (): void => {
      logger.debug({ event: 'read_stalled', request_id: request.id }, 'a reader took nothing for too long');
    };
    return sendOctets({ clock, logger, stallMs: limits.stallMs, onStall }, request, reply, 200, headers, content);
  };

  app.post(readCalls.readFile.path, options, async (request, reply) => {
    const { key, path, range } = validate(readCalls.readFile.asked, request.body, 'body');
    const { content, entry, etag } = await workspace.readFile(key, path, range);
    const { path: _path, ...facts } = entry;
    return send(request, reply, { entry: facts, etag }, content);
  });
  app.post(readCalls.readArchive.path, options, async (request, reply) => {
    const { key, path, format } = validate(readCalls.readArchive.asked, request.body, 'body');
    return send(request, reply, {}, await workspace.readArchive(key, path, format));
  });
}

function registerWrites(app: FastifyInstance, parts: InternalFaceParts, limits: InternalFaceLimits): void {
  const { clock, workspace } = parts;
  const options = { config: { isOpen: true, route: 'worker' } } as const;
  const octetLimits = (bytes: number): OctetLimits => ({ bytes, stallMs: limits.stallMs, totalMs: limits.uploadMs });

  app.post(writeCalls.writeFile.path, options, async (request, reply) => {
    const { key, ...write } = factsOf(writeCalls.writeFile.facts, request);
    // A body that breaks off ends in an error here, never in an end: what came of it is dropped by who reads it.
    const content = octetsOf(request, reply, clock, octetLimits(limits.fileBytes));
    return workspace.writeFile(key, { ...write, content });
  });
  app.post(writeCalls.writeArchive.path, options, async (request, reply) => {
    const { key, path, format } = factsOf(writeCalls.writeArchive.facts, request);
    const content = octetsOf(request, reply, clock, octetLimits(limits.archiveBytes));
    return workspace.writeArchive(key, path, format, content);
  });
}

function factsOf<S extends WireSchema>(schema: S, { headers }: FastifyRequest): WireValue<S> {
  const given = headers[factsHeader];
  let facts: unknown;
  try {
    facts = JSON.parse(Buffer.from(String(given), 'base64url').toString('utf8'));
  } catch (error) {
    throw new ServiceError('invalid_request', {}, { cause: error, message: `The header ${factsHeader} is not valid.` });
  }
  return validate(schema, facts, 'body');
}

function encodeFacts(facts: object): string {
  return Buffer.from(JSON.stringify(facts)).toString('base64url');
}

function hashOf(credential: string): Buffer {
  return createHash('sha256').update(credential).digest();
}

function toNothing(): Record<string, never> {
  return {};
}
